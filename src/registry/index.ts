/**
 * registry: talks to image registries over HTTP. Knows nothing of images, nor where credentials come from.
 */
export { type Credentials, type LoggedIn, login } from "./login.ts";
