// Shows openapi.json with Swagger UI. The address is relative, for gateways below a path prefix.
SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // No validation of the document by an external server.
  validatorUrl: null,
});
