/*
 * The child's operations that make the container's view of the host: namespaces, the mount tree, device nodes, the
 * terminal, and the change of root. Every path inside the root is resolved with RESOLVE_IN_ROOT and acted on by
 * descriptor, so that no link in an image can lead outside and no race can change what was looked at.
 */
#include "shim.h"

#include <arpa/inet.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "../keeper.h"
#include "kernel.h"

#define IN_ROOT (RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)
#define READ(type) \
  struct op_##type op; \
  if (!op_##type##_read(&op, body, length)) return failing(EPROTO, #type, NULL)

int do_join_ns(const uint8_t *body, size_t length) {
  READ(join_ns);
  scoped_fd int opened = op.fd == WIRE_NO_FD ? open(op.path, O_RDONLY | O_CLOEXEC) : -1;
  int fd = op.fd == WIRE_NO_FD ? opened : (int)op.fd;
  if (fd < 0) return failing(errno, "open the namespace", op.path);
  return setns(fd, (int)op.type) < 0 ? failing(errno, "join the namespace", op.path) : 0;
}

int do_join_cgroup(const uint8_t *body, size_t length) {
  READ(join_cgroup);
  scoped_fd int fd = open(op.path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 || write(fd, "0", 1) < 0) return failing(errno, "join the cgroup", op.path);
  return 0;
}

int do_unshare(const uint8_t *body, size_t length) {
  READ(unshare);
  return unshare((int)op.flags) < 0 ? failing(errno, "unshare", NULL) : 0;
}

int do_hostname(const uint8_t *body, size_t length) {
  READ(hostname);
  return sethostname(op.value, strlen(op.value)) < 0 ? failing(errno, "sethostname", op.value) : 0;
}

int do_domainname(const uint8_t *body, size_t length) {
  READ(domainname);
  return setdomainname(op.value, strlen(op.value)) < 0 ? failing(errno, "setdomainname", op.value) : 0;
}

int do_link_up(const uint8_t *body, size_t length) {
  READ(link_up);
  struct ifreq request = {0};
  scoped_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (strlen(op.device) >= sizeof request.ifr_name) return failing(EINVAL, "interface", op.device);
  strcpy(request.ifr_name, op.device);
  if (fd < 0 || ioctl(fd, SIOCGIFFLAGS, &request) < 0) return failing(errno, "interface", op.device);
  request.ifr_flags |= IFF_UP;
  return ioctl(fd, SIOCSIFFLAGS, &request) < 0 ? failing(errno, "set up", op.device) : 0;
}

/* The resolver's sockets are made here, in the container's network namespace, and served by the shim. */
int do_dns_socket(const uint8_t *body, size_t length) {
  READ(dns_socket);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)op.port)};
  if (inet_pton(AF_INET, op.address, &address.sin_addr) != 1) return failing(EINVAL, "resolver address", op.address);
  for (int tcp = 0; tcp < 2; tcp++) {
    scoped_fd int fd = socket(AF_INET, (tcp ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || (tcp && listen(fd, 1024) < 0)) {
      return failing(errno, "resolver at", op.address);
    }
    struct report report = {.kind = tcp ? REPORT_DNS_TCP : REPORT_DNS_UDP};
    int sent = send_report(&report, fd);
    if (sent < 0) return sent;
  }
  return 0;
}

int do_propagation(const uint8_t *body, size_t length) {
  READ(propagation);
  return mount(NULL, op.path, NULL, op.flags, NULL) < 0 ? failing(errno, "propagation of", op.path) : 0;
}

/* Opens a path inside the root, or gives -errno. */
static int in_root(const char *path, uint64_t flags) {
  int fd = sys_openat2(child.root, path, flags, IN_ROOT);
  return fd < 0 ? -errno : fd;
}

/* Splits a path at its last component: copies the rest to `parent`. Gives the component, or NULL if there is none. */
static const char *split(const char *path, char *parent, size_t size) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  if (length >= size) return NULL;
  memcpy(parent, path, length);
  parent[length] = '\0';
  char *slash = strrchr(parent, '/');
  if (slash == NULL) {
    const char *name = path;
    strcpy(parent, "/");
    return name;
  }
  const char *name = path + (slash - parent) + 1;
  slash[slash == parent ? 1 : 0] = '\0';
  return *name == '\0' ? NULL : name;
}

static int make_in(const char *path, bool directory, mode_t mode, int depth);

/* The directory that a new entry goes to, and the entry's own name (copied without a trailing slash). */
static int open_parent(const char *path, char *name, size_t size, int depth) {
  char parent[4096];
  const char *last = split(path, parent, sizeof parent);
  if (last == NULL || strlen(last) >= size) return -EINVAL;
  strcpy(name, last);
  for (size_t n = strlen(name); n > 0 && name[n - 1] == '/'; n--) name[n - 1] = '\0';
  int fd = in_root(parent, O_PATH | O_DIRECTORY);
  return fd == -ENOENT && depth < 128 ? make_in(parent, true, 0755, depth + 1) : fd;
}

static int make_in(const char *path, bool directory, mode_t mode, int depth) {
  char name[256];
  scoped_fd int parent = open_parent(path, name, sizeof name, depth);
  if (parent < 0) return parent;
  if (directory) {
    if (mkdirat(parent, name, mode) < 0 && errno != EEXIST) return -errno;
  } else {
    scoped_fd int made = openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_WRONLY | O_CLOEXEC, mode);
    if (made < 0 && errno != EEXIST) return -errno;
  }
  return in_root(path, O_PATH | (directory ? O_DIRECTORY : 0));
}

int open_in_root(const char *path, bool directory, mode_t mode) {
  int fd = in_root(path, O_PATH | (directory ? O_DIRECTORY : 0));
  return fd == -ENOENT ? make_in(path, directory, mode, 0) : fd;
}

/* The file system's own words about a failure, if it has any, after the last "e ". */
static int explain(int fs, int error, const char *what, const char *subject) {
  char message[256];
  ssize_t n = read(fs, message, sizeof message - 1);
  if (n <= 2) return failing(error, what, subject);
  message[n] = '\0';
  snprintf(child.detail, sizeof child.detail, "%s %.120s: %.200s", what, subject, message + 2);
  return -error;
}

/* A new detached mount, or -errno with the reason noted. A server (if not negative) is the descriptor that FUSE speaks over. */
static int new_mount_served(const char *type, const char *source, struct wire_list params, uint64_t attrs, int server) {
  static char key[8192];
  scoped_fd int fs = sys_fsopen(type);
  if (fs < 0) return failing(errno, "file system", type);
  if (source[0] != '\0' && sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", source) < 0) {
    return explain(fs, errno, "source of", type);
  }
  char number[16];
  snprintf(number, sizeof number, "%d", server);
  if (server >= 0 && sys_fsconfig(fs, FSCONFIG_SET_STRING, "fd", number) < 0) return explain(fs, errno, "server of", type);
  for (uint32_t i = params.count; i > 0; i--) {
    const char *param = wire_next_str(&params);
    const char *equals = strchr(param, '=');
    if (equals == NULL) {
      if (sys_fsconfig(fs, FSCONFIG_SET_FLAG, param, NULL) < 0) return explain(fs, errno, type, param);
      continue;
    }
    size_t size = (size_t)(equals - param);
    if (size >= sizeof key) return failing(E2BIG, type, param);
    memcpy(key, param, size);
    key[size] = '\0';
    if (sys_fsconfig(fs, FSCONFIG_SET_STRING, key, equals + 1) < 0) return explain(fs, errno, type, param);
  }
  if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0) return explain(fs, errno, "mount", type);
  int fd = sys_fsmount(fs, (unsigned)attrs);
  return fd < 0 ? explain(fs, errno, "mount", type) : fd;
}

static int new_mount(const char *type, const char *source, struct wire_list params, uint64_t attrs) {
  return new_mount_served(type, source, params, attrs, -1);
}

/* Keeps a mount as a descriptor of which the plan knows the number. Whatever has that already is not to be lost. */
static int hold(int mnt, uint32_t as, const char *subject) {
  if (fcntl((int)as, F_GETFD) >= 0) return failing(EBUSY, "hold", subject);
  return dup3(mnt, (int)as, O_CLOEXEC) < 0 ? failing(errno, "hold", subject) : 0;
}

/* All that this process may do, also as a user whom the kernel takes it from. */
static int keep_capabilities(void) {
  struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2];
  if (syscall(SYS_capget, &head, data) < 0) return -errno;
  for (int i = 0; i < 2; i++) data[i].effective = data[i].permitted;
  return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

/*
 * A new mount, made as another user. An overlay does its own work as whoever has mounted it: on an upper layer whose owners
 * are mapped the host's root has no number, and could make nothing there (EOVERFLOW); the mapped root has.
 */
static int new_mount_as(uid_t uid, gid_t gid, const char *type, const char *source, struct wire_list params, uint64_t attrs) {
  if (uid == WIRE_NO_OWNER) return new_mount(type, source, params, attrs);
  setfsgid(gid);
  setfsuid(uid);
  int result = keep_capabilities();
  int mnt = result < 0 ? failing(-result, "capabilities", NULL) : new_mount(type, source, params, attrs);
  setfsgid(0);
  setfsuid(0);
  if (result == 0 && (result = keep_capabilities()) < 0) {
    if (mnt >= 0) close(mnt);
    return failing(-result, "capabilities", NULL);
  }
  return mnt;
}

/* Attaches a detached mount at a host directory and makes that the root from now on. */
static int attach_root(int mnt, const char *target) {
  scoped_fd int at = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (at < 0) return failing(errno, "open", target);
  if (sys_move_mount(mnt, at) < 0) return failing(errno, "attach the root at", target);
  child.root = open(target, O_PATH | O_DIRECTORY | O_CLOEXEC);
  return child.root < 0 ? failing(errno, "open", target) : 0;
}

int do_root_mount(const uint8_t *body, size_t length) {
  READ(root_mount);
  scoped_fd int mnt = new_mount_as(op.fs_uid, op.fs_gid, op.type, op.source, op.params, op.attrs);
  if (mnt < 0) return mnt;
  return op.hold != WIRE_NO_FD ? hold(mnt, op.hold, op.type) : attach_root(mnt, op.target);
}

/* The kernel takes requests from here on; they are answered as soon as the shim has started the server. */
int do_root_fuse(const uint8_t *body, size_t length) {
  READ(root_fuse);
  struct report report = {.kind = REPORT_ROOT_SERVER};
  /* Only the server may hold it, so that its end ends every request. */
  scoped_fd int channel = server_channel();
  if (channel < 0) return failing(-channel, "open", "/dev/fuse");
  int mnt = new_mount_served("fuse", "fuse-overlayfs", op.params, op.attrs, channel);
  if (mnt < 0) return mnt;
  int result = send_report(&report, -1);
  if (result == 0) result = attach_root(mnt, op.target);
  close(mnt);
  return result;
}

int do_root_bind(const uint8_t *body, size_t length) {
  READ(root_bind);
  scoped_fd int mnt = sys_open_tree(AT_FDCWD, op.source, OPEN_TREE_CLONE);
  if (mnt < 0) return failing(errno, "open", op.source);
  struct mount_attr attr = {.attr_set = op.attrs, .propagation = MS_PRIVATE};
  if (sys_mount_setattr(mnt, 0, &attr) < 0) return failing(errno, "attributes of", op.source);
  return attach_root(mnt, op.target);
}

/* A new mount of what a path leads to inside a detached one. It is attached over the root meanwhile, where no path leads. */
static int subtree(int mnt, const char *subpath) {
  if (child.root < 0 && (child.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) return failing(errno, "open /", NULL);
  if (sys_move_mount(mnt, child.root) < 0) return failing(errno, "attach for", subpath);
  scoped_fd int part = sys_openat2(mnt, subpath, O_PATH, IN_ROOT);
  if (part < 0) return failing(errno, "cannot access path", subpath);
  int tree = sys_open_tree(part, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (tree < 0) return failing(errno, "cannot access path", subpath);
  if (fchdir(mnt) == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0) return tree;
  int error = errno;
  close(tree);
  return failing(error, "detach after", subpath);
}

/* Whether a path that names nothing of /proc leads there: by a link of the image's, onto the kernel's own files. */
static bool is_diverted(int target, const char *path) {
  struct statfs info;
  if (fstatfs(target, &info) < 0 || info.f_type != PROC_SUPER_MAGIC) return false;
  return strncmp(path, "/proc", 5) != 0 || (path[5] != '/' && path[5] != '\0');
}

/* Attaches a mount at a place of the root, which is of the mount's kind. */
static int attach(int mnt, int target, bool directory, const char *what, const char *path) {
  struct stat there;
  if (is_diverted(target, path)) return failing(ELOOP, "mount point inside /proc", path);
  if (fstat(target, &there) == 0 && S_ISDIR(there.st_mode) != directory) return failing(ENOTDIR, what, path);
  return sys_move_mount(mnt, target) < 0 ? failing(errno, what, path) : 0;
}

int do_mount(const uint8_t *body, size_t length) {
  READ(mount);
  scoped_fd int whole = new_mount_as(op.fs_uid, op.fs_gid, op.type, op.source, op.params, op.attrs);
  if (whole < 0) return whole;
  scoped_fd int part = op.subpath[0] != '\0' ? subtree(whole, op.subpath) : -1;
  if (op.subpath[0] != '\0' && part < 0) return part;
  int mnt = part < 0 ? whole : part;
  if (op.hold != WIRE_NO_FD) return hold(mnt, op.hold, op.type);
  struct stat info;
  if (part >= 0 && fstat(part, &info) < 0) return failing(errno, "stat", op.subpath);
  bool directory = part < 0 || S_ISDIR(info.st_mode);
  scoped_fd int target = open_in_root(op.target, directory, 0755);
  if (target < 0) return failing(-target, "mount point", op.target);
  return attach(mnt, target, directory, "mount at", op.target);
}

/* A connection of this process's own to whoever keeps the daemon's namespaces: the shim's is the shim's to ask by. */
static int ask_guard(void) {
  static int guard = -1;
  struct sockaddr_un address = {0};
  socklen_t size = sizeof address;
  if (guard < 0 && getpeername(KEEPER_FD, (struct sockaddr *)&address, &size) == 0) guard = keeper_connect(address.sun_path);
  return guard;
}

/* Owners as they are to be seen. A file system may not be able to do that, and neither may what is mounted below it. */
static int map_owners(int mnt, const struct op_bind *op) {
  if (op->owners == WIRE_NO_FD) return 0;
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = op->owners};
  unsigned recursive = op->options & WIRE_BIND_RECURSIVE ? AT_RECURSIVE : 0;
  int error = sys_mount_setattr(mnt, recursive, &attr) == 0 ? 0 : errno;
  if (error == EPERM && ask_guard() >= 0) error = -keeper_map(ask_guard(), mnt, (int)op->owners, recursive != 0);
  if (error == 0) return 0;
  return failing(error, "its file system, or one below it, cannot map owners:", op->source);
}

static int bind_attributes(int mnt, const struct op_bind *op) {
  struct mount_attr attr = {.attr_set = op->attr_set, .attr_clr = op->attr_clr};
  unsigned recursive = op->options & WIRE_BIND_RECURSIVE_ATTRS ? AT_RECURSIVE : 0;
  if ((attr.attr_set || attr.attr_clr) && sys_mount_setattr(mnt, recursive, &attr) < 0) return -errno;
  struct mount_attr propagation = {.propagation = op->propagation & PROPAGATION_FLAGS};
  recursive = op->propagation & MS_RECURSIVE ? AT_RECURSIVE : 0;
  if (propagation.propagation && sys_mount_setattr(mnt, recursive, &propagation) < 0) return -errno;
  return 0;
}

/* Makes a copy in another mount namespace: of what is mounted there none can be made elsewhere. */
static int clone_elsewhere(const struct op_bind *op, int (*clone)(const struct op_bind *)) {
  scoped_fd int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
  scoped_fd int there = open(op->mount_ns, O_RDONLY | O_CLOEXEC);
  if (own < 0 || there < 0 || setns(there, CLONE_NEWNS) < 0) return failing(errno, "enter the mount namespace", op->mount_ns);
  int tree = clone(op);
  if (setns(own, CLONE_NEWNS) == 0) return tree;
  int error = errno;
  if (tree >= 0) close(tree);
  return failing(error, "leave the mount namespace", op->mount_ns);
}

/* A copy of the source's tree, or of what a path leads to inside the source; -errno with the reason noted. */
static int clone_source(const struct op_bind *op) {
  unsigned flags = OPEN_TREE_CLONE | (op->options & WIRE_BIND_RECURSIVE ? AT_RECURSIVE : 0);
  const char *lost = "bind source path does not exist or cannot be opened:";
  if (op->subpath[0] == '\0') {
    int tree = sys_open_tree(AT_FDCWD, op->source, flags);
    return tree < 0 ? failing(errno, lost, op->source) : tree;
  }
  scoped_fd int base = open(op->source, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (base < 0) return failing(errno, lost, op->source);
  scoped_fd int part = sys_openat2(base, op->subpath, O_PATH, IN_ROOT);
  int tree = part < 0 ? -1 : sys_open_tree(part, "", flags | AT_EMPTY_PATH);
  return tree < 0 ? failing(errno, "cannot access path", op->subpath) : tree;
}

/* A mount of what only the guard may bind, with its owners seen as the container's. */
static int guarded_source(const struct op_bind *op) {
  struct keeper_request request = {KEEPER_BIND, .recursive = (op->options & WIRE_BIND_RECURSIVE) != 0};
  int owners = (int)op->owners, mnt = -1, guard = ask_guard();
  if (strlen(op->source) >= sizeof request.path) return failing(ENAMETOOLONG, "bind", op->source);
  strcpy(request.path, op->source);
  int result = guard < 0 ? -ENOSYS : keeper_ask(guard, &request, &owners, 1, &mnt, 1);
  return result < 0 ? failing(-result, "the guard's policy, or its file system, does not allow to bind", op->source) : mnt;
}

static int source_of(const struct op_bind *op) {
  if (op->options & WIRE_BIND_GUARDED) return guarded_source(op);
  return op->mount_ns[0] != '\0' ? clone_elsewhere(op, clone_source) : clone_source(op);
}

int do_bind(const uint8_t *body, size_t length) {
  READ(bind);
  scoped_fd int mnt = source_of(&op);
  if (mnt < 0) return mnt;
  struct stat info;
  if (fstat(mnt, &info) < 0) return failing(errno, "stat", op.source);
  int result = bind_attributes(mnt, &op);
  if (result < 0) return failing(-result, "attributes of", op.target);
  if (!(op.options & WIRE_BIND_GUARDED) && (result = map_owners(mnt, &op)) < 0) return result;
  if ((op.options & WIRE_BIND_LAYER) && sys_move_mount(mnt, AT_FDCWD) < 0) return failing(errno, "attach the layer", op.source);
  if (op.hold != WIRE_NO_FD) return hold(mnt, op.hold, op.source);
  scoped_fd int target = open_in_root(op.target, S_ISDIR(info.st_mode), 0755);
  if (target < 0) return failing(-target, "mount point", op.target);
  struct stat there;
  if ((op.options & WIRE_BIND_NO_FOLLOW_TARGET) && fstat(target, &there) == 0 && S_ISLNK(there.st_mode)) {
    return failing(ELOOP, "mount point", op.target);
  }
  return attach(mnt, target, S_ISDIR(info.st_mode), "bind at", op.target);
}

int do_attach(const uint8_t *body, size_t length) {
  READ(attach);
  struct stat info;
  if (fstat((int)op.held, &info) < 0) return failing(errno, "stat", op.target);
  scoped_fd int target = open_in_root(op.target, S_ISDIR(info.st_mode), 0755);
  if (target < 0) return failing(-target, "mount point", op.target);
  return attach((int)op.held, target, S_ISDIR(info.st_mode), "attach at", op.target);
}

/* The working directory needs no path, which somebody without the host's rights may have no way along. */
int do_attach_root(const uint8_t *body, size_t length) {
  READ(attach_root);
  if (sys_move_mount((int)op.held, AT_FDCWD) < 0) return failing(errno, "attach the root", NULL);
  child.root = fcntl((int)op.held, F_DUPFD_CLOEXEC, 3);
  return child.root < 0 ? failing(errno, "open the root", NULL) : 0;
}

int do_host_directory(const uint8_t *body, size_t length) {
  READ(host_directory);
  return chdir(op.path) < 0 ? failing(errno, "enter", op.path) : 0;
}

int do_mkdir(const uint8_t *body, size_t length) {
  READ(mkdir);
  scoped_fd int fd = open_in_root(op.path, true, op.mode);
  return fd < 0 ? failing(-fd, "mkdir", op.path) : 0;
}

int do_mknod(const uint8_t *body, size_t length) {
  READ(mknod);
  char name[256];
  scoped_fd int parent = open_parent(op.path, name, sizeof name, 0);
  if (parent < 0) return failing(-parent, "mknod", op.path);
  dev_t device = makedev(op.major, op.minor);
  if (mknodat(parent, name, op.mode, device) < 0) {
    struct stat info;
    if (errno != EEXIST || fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) < 0) return failing(errno, "mknod", op.path);
    if ((info.st_mode & S_IFMT) != (op.mode & S_IFMT)) return failing(EEXIST, "mknod", op.path);
    bool numbered = S_ISCHR(op.mode) || S_ISBLK(op.mode);
    return numbered && info.st_rdev != device ? failing(EEXIST, "mknod", op.path) : 0;
  }
  if ((op.uid || op.gid) && fchownat(parent, name, op.uid, op.gid, AT_SYMLINK_NOFOLLOW) < 0) {
    return failing(errno, "chown", op.path);
  }
  return 0;
}

int do_symlink(const uint8_t *body, size_t length) {
  READ(symlink);
  char name[256];
  scoped_fd int parent = open_parent(op.path, name, sizeof name, 0);
  if (parent < 0) return failing(-parent, "symlink", op.path);
  return symlinkat(op.target, parent, name) < 0 && errno != EEXIST ? failing(errno, "symlink", op.path) : 0;
}

/* The real null device: its numbers are checked on the descriptor that is then bound (CVE-2025-31133). */
static int null_device(void) {
  if (child.null_fd >= 0) return child.null_fd;
  struct stat info;
  int fd = open("/dev/null", O_PATH | O_CLOEXEC);
  if (fd < 0) return failing(errno, "open /dev/null", NULL);
  if (fstat(fd, &info) < 0 || !S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3)) {
    close(fd);
    return failing(ENODEV, "/dev/null is not the null device", NULL);
  }
  return child.null_fd = fd;
}

/* A mount with nothing in it. All are copies of the first, which has its place by then: what has none is not copied before Linux 6.15. */
static int empty_directory(struct wire_list params) {
  if (child.empty >= 0) return sys_open_tree(child.empty, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  child.empty = new_mount("tmpfs", "tmpfs", params, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  return child.empty < 0 ? child.empty : fcntl(child.empty, F_DUPFD_CLOEXEC, 0);
}

int do_mask(const uint8_t *body, size_t length) {
  READ(mask);
  struct stat info;
  scoped_fd int target = in_root(op.path, O_PATH);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0 || fstat(target, &info) < 0) return failing(target < 0 ? -target : errno, "mask", op.path);
  scoped_fd int mnt = -1;
  if (S_ISDIR(info.st_mode)) {
    mnt = empty_directory(op.params);
  } else {
    int device = null_device();
    if (device < 0) return device;
    mnt = sys_open_tree(device, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  }
  if (mnt < 0 || sys_move_mount(mnt, target) < 0) return failing(errno, "mask", op.path);
  return 0;
}

int do_file_label(const uint8_t *body, size_t length) {
  READ(file_label);
  scoped_fd int fd = in_root(op.path, O_RDONLY | O_DIRECTORY);
  if (fd < 0) return fd == -ENOENT ? 0 : failing(-fd, "label", op.path);
  /* The file system keeps none, or belongs to a user namespace in which nobody may say any. */
  if (fsetxattr(fd, "security.selinux", op.value, strlen(op.value) + 1, 0) == 0 || errno == EOPNOTSUPP || errno == EPERM) return 0;
  return failing(errno, "label", op.path);
}

int do_readonly(const uint8_t *body, size_t length) {
  READ(readonly);
  scoped_fd int target = in_root(op.path, O_PATH);
  if (target == -ENOENT || target == -ENOTDIR) return 0;
  if (target < 0) return failing(-target, "make read-only", op.path);
  struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
  scoped_fd int mnt = sys_open_tree(target, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | AT_RECURSIVE);
  if (mnt < 0 || sys_mount_setattr(mnt, AT_RECURSIVE, &attr) < 0 || sys_move_mount(mnt, target) < 0) {
    return failing(errno, "make read-only", op.path);
  }
  return 0;
}

int do_root_attrs(const uint8_t *body, size_t length) {
  READ(root_attrs);
  struct mount_attr attr = {.attr_set = op.attr_set};
  return sys_mount_setattr(child.root, 0, &attr) < 0 ? failing(errno, "attributes of the root", NULL) : 0;
}

/*
 * A procfs of our own that nobody else can have mounted over (CVE-2025-52881). Of a PID namespace that belongs to another user
 * namespace none can be mounted: then it is a copy of the one that is there, and nothing that is mounted in it is entered.
 */
int private_proc(void) {
  if (child.proc >= 0) return child.proc;
  struct wire_list none = {0};
  child.proc = new_mount("proc", "proc", none, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
  if (child.proc != -EPERM) return child.proc;
  int copy = sys_open_tree(AT_FDCWD, "/proc", OPEN_TREE_CLONE | AT_RECURSIVE);
  if (copy >= 0) child.proc = copy;
  return child.proc;
}

int do_sysctl(const uint8_t *body, size_t length) {
  READ(sysctl);
  char path[512];
  int proc = private_proc();
  if (proc < 0) return proc;
  if (snprintf(path, sizeof path, "sys/%s", op.key) >= (int)sizeof path) return failing(ENAMETOOLONG, "sysctl", op.key);
  scoped_fd int fd = sys_openat2(proc, path, O_WRONLY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);
  if (fd < 0 || write(fd, op.value, strlen(op.value)) < 0) return failing(errno, "sysctl", op.key);
  return 0;
}

/* The console is bound from the terminal's descriptor, never from a path (CVE-2025-52565). */
static int bind_console(int slave) {
  scoped_fd int target = open_in_root("/dev/console", false, 0600);
  if (target < 0) return failing(-target, "/dev/console", NULL);
  scoped_fd int mnt = sys_open_tree(slave, "", OPEN_TREE_CLONE | AT_EMPTY_PATH);
  if (mnt < 0) return failing(errno, "/dev/console", NULL);
  return attach(mnt, target, false, "bind at", "/dev/console");
}

int do_pty(const uint8_t *body, size_t length) {
  READ(pty);
  if (child.root < 0 && (child.root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC)) < 0) return failing(errno, "open /", NULL);
  scoped_fd int master = in_root("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
  if (master < 0) return failing(-master, "/dev/pts/ptmx", NULL);
  int unlock = 0;
  struct winsize size = {.ws_row = (unsigned short)op.rows, .ws_col = (unsigned short)op.columns};
  if (ioctl(master, TIOCSPTLCK, &unlock) < 0) return failing(errno, "unlock the terminal", NULL);
  scoped_fd int slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0) return failing(errno, "open the terminal", NULL);
  if (op.rows && op.columns) ioctl(slave, TIOCSWINSZ, &size);
  int result = child.is_exec ? 0 : bind_console(slave);
  if (result < 0) return result;
  for (int fd = 0; fd < 3; fd++) {
    if (dup2(slave, fd) < 0) return failing(errno, "dup2", NULL);
  }
  if (ioctl(0, TIOCSCTTY, 1) < 0) return failing(errno, "controlling terminal", NULL);
  struct report report = {.kind = REPORT_PTY};
  return send_report(&report, master);
}

int do_pivot_root(const uint8_t *body, size_t length) {
  (void)body;
  (void)length;
  scoped_fd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (old < 0 || fchdir(child.root) < 0) return failing(errno, "enter the root", NULL);
  if (syscall(SYS_pivot_root, ".", ".") < 0) return failing(errno, "pivot_root", NULL);
  if (fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0) return failing(errno, "leave the host's root", NULL);
  /* It is "/" from now on; a working directory may name descriptors that are open here. */
  close(child.root);
  child.root = -1;
  return chdir("/") < 0 ? failing(errno, "chdir /", NULL) : 0;
}
