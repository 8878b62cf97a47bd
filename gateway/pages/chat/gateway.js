// The address of the gateway that served the page: a proxy may have put the gateway below a path of its own.

export const GATEWAY = new URL("..", import.meta.url).href;
