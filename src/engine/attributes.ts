/**
 * What an event says of a container: its labels, image and name.
 */
import type { ContainerRecord } from "./container-record.ts";

/** The attributes of a container's events. */
export function attributesOf(
  record: ContainerRecord,
  more: Readonly<Record<string, string>> = {},
): Record<string, string> {
  return { ...record.config.Labels, image: record.config.Image ?? "", name: record.name, ...more };
}
