// Shows /openapi.json with Swagger UI.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // No check of the document by a server elsewhere.
  validatorUrl: null,
});
