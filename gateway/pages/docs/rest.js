// Shows /openapi.json with Swagger UI.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // No validation of the document by an external server.
  validatorUrl: null,
});
