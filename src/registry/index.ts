/**
 * registry: talks to image registries over HTTP. Knows nothing of images, nor where credentials come from.
 */
export { anonymous, type Credentials } from "./authorization.ts";
export type { RegistrySettings } from "./endpoints.ts";
export { type LoggedIn, type LoginRequest, login } from "./login.ts";
export { type BlobDescriptor, type Manifest, Repository } from "./repository.ts";
export { searchRegistry } from "./search.ts";
export type { BlobUpload } from "./upload.ts";
