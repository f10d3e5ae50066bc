/**
 * registry-server: serves images to others over the distribution protocol. Knows content stores, and nothing of images as
 * containers need them: it never unpacks.
 */
export { type Collected, type CollectionOptions, GRACE_MS } from "./collection.ts";
export { parseDuration, parseRegistryConfig, type RegistryConfig } from "./config.ts";
export { RegistryDatabase } from "./database.ts";
export { Registry } from "./registry.ts";
