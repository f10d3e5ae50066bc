/** Files that the build embeds; the default export is a path that can be read. */
declare module "*/berth-shim" {
  const path: string;
  export default path;
}
declare module "*/berth-helper" {
  const path: string;
  export default path;
}
declare module "*/busybox.tar" {
  const path: string;
  export default path;
}
