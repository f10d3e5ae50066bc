/*
 * Subvolumes of btrfs. A path's last component is a name in an open directory, so that no link is followed at the place
 * where something is made or deleted.
 */
#include "helper.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* Opens the directory that a path is in, and copies its last component. */
static int open_parent(const char *path, char *name, size_t size) {
  char parent[4096];
  const char *slash = strrchr(path, '/');
  if (slash == NULL || slash == path || strlen(slash + 1) >= size) return -EINVAL;
  if ((size_t)(slash - path) >= sizeof parent) return -ENAMETOOLONG;
  memcpy(parent, path, (size_t)(slash - path));
  parent[slash - path] = '\0';
  strcpy(name, slash + 1);
  int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int handle_subvolume(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_subvolume request;
  struct btrfs_ioctl_vol_args_v2 args = {0};
  if (!helper_subvolume_read(&request, body, length)) return fail(out, EPROTO, "subvolume");
  scoped_fd int parent = open_parent(request.path, args.name, sizeof args.name);
  if (parent < 0) return fail(out, -parent, "subvolume %s", request.path);
  if (request.source[0] == '\0') {
    return ioctl(parent, BTRFS_IOC_SUBVOL_CREATE_V2, &args) < 0 ? fail(out, errno, "subvolume %s", request.path) : 0;
  }
  scoped_fd int source = open(request.source, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (source < 0) return fail(out, errno, "open %s", request.source);
  args.fd = source;
  return ioctl(parent, BTRFS_IOC_SNAP_CREATE_V2, &args) < 0 ? fail(out, errno, "snapshot %s", request.path) : 0;
}

int handle_subvolume_delete(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_subvolume_delete request;
  struct btrfs_ioctl_vol_args args = {0};
  if (!helper_subvolume_delete_read(&request, body, length)) return fail(out, EPROTO, "subvolume_delete");
  scoped_fd int parent = open_parent(request.path, args.name, sizeof args.name);
  if (parent < 0) return fail(out, -parent, "subvolume %s", request.path);
  return ioctl(parent, BTRFS_IOC_SNAP_DESTROY, &args) < 0 ? fail(out, errno, "delete subvolume %s", request.path) : 0;
}

/* Since Linux 6.7: bytes are counted for whoever wrote them, at no cost for snapshots. */
#ifndef BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA
#define BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA 4
#endif

int handle_subvolume_limit(struct answer *out, const uint8_t *body, size_t length) {
  struct helper_subvolume_limit request;
  if (!helper_subvolume_limit_read(&request, body, length)) return fail(out, EPROTO, "subvolume_limit");
  scoped_fd int fd = open(request.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fail(out, errno, "open %s", request.path);
  struct btrfs_ioctl_quota_ctl_args quota = {.cmd = BTRFS_QUOTA_CTL_ENABLE_SIMPLE_QUOTA};
  if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &quota) < 0) {
    quota = (struct btrfs_ioctl_quota_ctl_args){.cmd = BTRFS_QUOTA_CTL_ENABLE};
    if (ioctl(fd, BTRFS_IOC_QUOTA_CTL, &quota) < 0) return fail(out, errno, "quotas of %s", request.path);
  }
  /* Group 0 is the subvolume's own. */
  struct btrfs_ioctl_qgroup_limit_args limit = {
      .lim = {.flags = BTRFS_QGROUP_LIMIT_MAX_EXCL, .max_excl = request.bytes},
  };
  return ioctl(fd, BTRFS_IOC_QGROUP_LIMIT, &limit) < 0 ? fail(out, errno, "limit of %s", request.path) : 0;
}
