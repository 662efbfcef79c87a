// Starts Swagger UI, which knows everything else, on the document of this service.

/** A field of a form that was left empty was not filled in; sent as it is, it would be an empty answer. */
function withoutEmptyFields(request) {
  if (request.body instanceof FormData) {
    const empty = [...request.body].filter(([, value]) => value === "").map(([name]) => name);
    empty.forEach((name) => request.body.delete(name));
  }
  return request;
}

/** Light or dark, as chosen in the playground, else as the system says; Swagger UI has both. */
function isDark() {
  try {
    return (localStorage.getItem("pheye-theme") ?? (system.matches && "dark")) === "dark";
  } catch {
    return system.matches; // storage may be forbidden
  }
}

const system = matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", isDark());
system.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  requestInterceptor: withoutEmptyFields,
});
