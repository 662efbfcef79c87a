// Starts Swagger UI, which knows everything else, on the document of this service.

/** A field of a form that was left empty was not filled in; sent as it is, it would be an empty answer. */
function withoutEmptyFields(request) {
  if (request.body instanceof FormData) {
    const empty = [...request.body].filter(([, value]) => value === "").map(([name]) => name);
    empty.forEach((name) => request.body.delete(name));
  }
  return request;
}

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  requestInterceptor: withoutEmptyFields,
});
