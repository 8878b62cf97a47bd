// Swagger UI writes the descriptions of the document as markup: formatted text without attributes may pass, nothing else.
const FORMATTED = /^(?:[^<]|<\/?(?:p|br|code|pre|em|i|strong|b|ul|ol|li)>)*$/;
globalThis.trustedTypes?.createPolicy("default", {
  createHTML(markup) {
    if (!FORMATTED.test(markup)) throw new TypeError("this page shows formatted text only");
    return markup;
  },
});

// Shows openapi.json with Swagger UI. The address is relative, for gateways below a path prefix.
SwaggerUIBundle({
  url: "../openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // No validation of the document by an external server.
  validatorUrl: null,
});
