/*
 * berth-helper keep SOCKET [PID]: makes a user namespace with a mount and a network namespace of its own (or enters those
 * of a process), and keeps them for a daemon that has no rights outside. It stays outside itself: whoever asks gets the
 * namespaces, or a socket that is made where published ports are to be reached. It ends with the last connection. The program
 * that leads out of the network namespace is started again when it ends, by the command that it is told.
 *
 * berth-helper join SOCKET [PROGRAM ARGUMENT…]: becomes the program, in the user and the mount namespace that are kept;
 * without one, says whether somebody keeps them.
 */
#include "../bind.h"
#include "../keeper.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "helper.h"

#define MAX_CLIENTS 4096
/* Whoever has had them made comes within so long, in milliseconds. */
#define FIRST_CLIENT_MS 60000
/* What leads out is started again at once, and then after so long, in milliseconds, which doubles up to the last. */
#define FIRST_WAIT_MS 250
#define LAST_WAIT_MS 32000
/* Who has lived so long has not failed when it was started. */
#define LIVED_MS 10000
/* After a client has gone it is looked after so long, in milliseconds, whether the socket's file is still there. */
#define LOOK_MS 1000
#define MAX_WORDS 64

static int said(const char *what) {
  fprintf(stderr, "%d %s\n", errno, what);
  return 1;
}

static int open_namespace(pid_t pid, const char *kind) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, kind);
  return open(path, O_RDONLY | O_CLOEXEC);
}

static int keep_as(int fd, int number) {
  if (fd < 0) return -1;
  int result = dup3(fd, number, O_CLOEXEC);
  int error = errno;
  close(fd);
  errno = error;
  return result;
}

static const char *const kinds[KEPT] = {"user", "mnt", "net"};

int keep_namespaces(pid_t pid) {
  for (int i = 0; i < KEPT; i++) {
    if (keep_as(open_namespace(pid, kinds[i]), FIRST_KEPT + i) < 0) return -1;
  }
  return 0;
}

/* Enters those of a process, which has outlived an earlier keeper. */
static int enter_namespaces(pid_t pid) {
  static const int types[KEPT] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWNET};
  int fds[KEPT];
  for (int i = 0; i < KEPT; i++) {
    if ((fds[i] = open_namespace(pid, kinds[i])) < 0) return errno;
  }
  for (int i = 0; i < KEPT; i++) {
    if (setns(fds[i], types[i]) < 0) return errno;
  }
  return 0;
}

static int process_fd(pid_t pid) {
  return pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
}

/*
 * In a child: makes or enters the namespaces, and stays there as long as the keeper lives. It is by its number that others
 * find them: what leads out of the network namespace looks for that from inside the user namespace. That program is ended
 * here, since the keeper may be killed: its pid comes over `orders`, again when it has been started again.
 */
_Noreturn static void dwell(int said_to, int orders, pid_t other) {
  int error = other > 0 ? enter_namespaces(other) : unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWNET) < 0 ? errno : 0;
  int program = -1;
  pid_t outside;
  ssize_t n;
  prctl(PR_SET_NAME, "berth-dweller");
  if (write(said_to, &error, sizeof error) < 0) _exit(1);
  while ((n = read(orders, &outside, sizeof outside)) == (ssize_t)sizeof outside || (n < 0 && errno == EINTR)) {
    if (n < 0) continue;
    if (program >= 0) close(program);
    program = process_fd(outside);
  }
  if (program >= 0) syscall(SYS_pidfd_send_signal, program, SIGKILL, NULL, 0);
  _exit(0);
}

/*
 * Has a child in the namespaces, tells its number, and waits until its maps are written, which is for setuid programs. Gives
 * by what the child takes orders, or -1.
 */
static int begin_namespaces(pid_t other) {
  int made[2], orders[2], error = 0;
  char byte;
  if (pipe2(made, O_CLOEXEC) < 0 || pipe2(orders, O_CLOEXEC) < 0) return said("pipe"), -1;
  pid_t pid = fork();
  if (pid == 0) {
    close(orders[1]);
    dwell(made[1], orders[0], other);
  }
  close(made[1]);
  close(orders[0]);
  if (pid < 0 || read(made[0], &error, sizeof error) != (ssize_t)sizeof error) return said("make a process"), -1;
  close(made[0]);
  errno = error;
  if (error != 0) return said(other > 0 ? "enter namespaces" : "make namespaces"), -1;
  if (keep_namespaces(pid) < 0) return said("open namespaces"), -1;
  printf("%d\n", (int)pid);
  fflush(stdout);
  return read(STDIN_FILENO, &byte, 1) == 1 ? orders[1] : -1;
}

int listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  umask(0177);
  unlink(path);
  return bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 64) < 0 ? -1 : fd;
}

/* Gives a client another connection; the keeper's end of it, or -1. */
static int connect_again(int client) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
    keeper_answer(client, errno, NULL, 0);
    return -1;
  }
  bool sent = keeper_answer(client, 0, &ends[1], 1) == 0;
  close(ends[1]);
  if (sent) return ends[0];
  close(ends[0]);
  return -1;
}

/* Answers one request, which may have made another client; false when the client has gone. */
static bool answer_client(int client, int *made) {
  static struct keeper_request request;
  int given[KEPT];
  unsigned count;
  ssize_t n = keeper_receive(client, &request, sizeof request, MSG_DONTWAIT, given, 0, &count);
  if (n < 0) return n == -EAGAIN;
  if (n <= (ssize_t)offsetof(struct keeper_request, path)) return false;
  if (request.kind == KEEPER_NAMESPACES) {
    static const int kept[KEPT] = {FIRST_KEPT, FIRST_KEPT + 1, FIRST_KEPT + 2};
    return keeper_answer(client, 0, kept, KEPT) == 0;
  }
  if (request.kind == KEEPER_CONNECTION) {
    *made = connect_again(client);
    return true;
  }
  if (request.kind != KEEPER_SOCKET || (request.family != AF_INET && request.family != AF_INET6)) return false;
  request.address[sizeof request.address - 1] = '\0';
  scoped_fd int fd = bound_socket(request.family, request.type, request.protocol, request.address, request.port, request.options);
  return keeper_answer(client, fd < 0 ? -fd : 0, &fd, fd < 0 ? 0 : 1) == 0;
}

/* What leads out of the network namespace; `words` is empty where nothing does. */
static struct {
  char *words[MAX_WORDS + 1];
  pid_t pid;
  /* Of the process; -1 while there is none. */
  int fd;
  /* To whom its pid is told. */
  int orders;
  int64_t started, start_at, wait;
} outside = {.fd = -1};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* It has ended, or could not be started: it is to be started again, the later the sooner it has ended. */
static void outside_ended(void) {
  if (outside.fd >= 0) close(outside.fd);
  outside.fd = -1;
  /* The first is nobody's child here. */
  waitpid(outside.pid, NULL, WNOHANG);
  int64_t now = now_ms();
  if (now - outside.started >= LIVED_MS) outside.wait = 0;
  outside.start_at = now + outside.wait;
  outside.wait = outside.wait == 0 ? FIRST_WAIT_MS : outside.wait * 2 > LAST_WAIT_MS ? LAST_WAIT_MS : outside.wait * 2;
}

static void start_outside(void) {
  outside.started = now_ms();
  outside.pid = fork();
  if (outside.pid == 0) {
    signal(SIGPIPE, SIG_DFL);
    /* Until the dweller knows of it. */
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execv(outside.words[0], outside.words);
    _exit(127);
  }
  outside.fd = process_fd(outside.pid);
  if (outside.fd < 0 || write(outside.orders, &outside.pid, sizeof outside.pid) < 0) outside_ended();
}

/* In milliseconds, how long nothing of it need be done; -1: for ever. */
static int outside_patience(void) {
  if (outside.words[0] == NULL || outside.fd >= 0) return -1;
  int64_t left = outside.start_at - now_ms();
  return left < 0 ? 0 : (int)left;
}

/* Where clients come. */
static struct {
  const char *path;
  int fd;
  /* When it is looked whether the path is still there; 0: never. */
  int64_t look_at;
} door;

/* Listens again where somebody has deleted the socket's file, also with the directory that it was in. */
static void reopen_door(void) {
  struct sockaddr_un address;
  door.look_at = 0;
  if (access(door.path, F_OK) == 0 || errno != ENOENT) return;
  int fd = listen_at(door.path);
  if (fd < 0 && errno == ENOENT) {
    char *end = strrchr(strcpy(address.sun_path, door.path), '/');
    if (end != NULL) *end = '\0';
    /* Others may pass through, as where the daemon has made it; the mask is the socket's. */
    if (mkdir(address.sun_path, 0700) == 0) chmod(address.sun_path, 0711);
    fd = listen_at(door.path);
  }
  if (fd < 0) return;
  close(door.fd);
  door.fd = fd;
}

/* In milliseconds, how long nothing need be done; -1: for ever. */
static int patience(void) {
  int own = outside_patience();
  if (door.look_at == 0) return own;
  int64_t left = door.look_at - now_ms();
  int look = left < 0 ? 0 : (int)left;
  return own >= 0 && own < look ? own : look;
}

/* Serves until nobody is connected any more, or nobody has ever come. */
static int serve_clients(void) {
  static struct pollfd fds[MAX_CLIENTS + 2];
  /* The first two are no clients'. */
  nfds_t count = 2;
  bool served = false;
  int64_t first_by = now_ms() + FIRST_CLIENT_MS;
  while (!served || count > 2) {
    if (outside_patience() == 0) start_outside();
    if (door.look_at != 0 && now_ms() >= door.look_at) reopen_door();
    fds[0] = (struct pollfd){door.fd, POLLIN, 0};
    fds[1] = (struct pollfd){outside.fd, POLLIN, 0};
    int ready = poll(fds, count, served ? patience() : FIRST_CLIENT_MS);
    if (ready < 0 && errno != EINTR) return 1;
    if (!served && now_ms() >= first_by) return 1;
    if (ready <= 0) continue;
    if (fds[1].revents != 0) outside_ended();
    for (nfds_t i = count - 1; i > 1; i--) {
      int made = -1;
      if (fds[i].revents == 0) continue;
      if (!answer_client(fds[i].fd, &made)) {
        close(fds[i].fd);
        fds[i] = fds[--count];
        /* Whoever ends the daemon may delete all of it in the next moment, and is not to be hindered. */
        if (door.look_at == 0) door.look_at = now_ms() + LOOK_MS;
      }
      if (made < 0) continue;
      /* There is no way in by the path, it seems. */
      door.look_at = now_ms();
      if (count > MAX_CLIENTS + 1) close(made);
      else fds[count++] = (struct pollfd){made, POLLIN, 0};
    }
    if (fds[0].revents == 0) continue;
    int client = accept4(door.fd, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0) continue;
    served = true;
    if (count > MAX_CLIENTS + 1) close(client);
    else fds[count++] = (struct pollfd){client, POLLIN, 0};
  }
  return 0;
}

/* A number, the words of a command, and an empty one, each with a null byte behind it, on stdin: what has begun to lead out. */
static bool read_outside(void) {
  static char text[8192];
  size_t have = 0, from = 0;
  int count = -1;
  while (have < sizeof text && count < MAX_WORDS && read(STDIN_FILENO, text + have, 1) == 1) {
    if (text[have++] != '\0') continue;
    if (have - from == 1) return count >= 0;
    if (count < 0) outside.pid = (pid_t)atoi(text);
    else outside.words[count] = text + from;
    count++;
    from = have;
  }
  return false;
}

static int keep(int argc, char **argv) {
  prctl(PR_SET_NAME, "berth-keeper");
  /* The daemon's terminal is none of its business. */
  if (setsid() < 0 || chdir("/") < 0) return said("leave the session");
  signal(SIGPIPE, SIG_IGN);
  outside.orders = begin_namespaces(argc == 4 ? (pid_t)atoi(argv[3]) : 0);
  if (outside.orders < 0) return 1;
  door.path = argv[2];
  door.fd = listen_at(door.path);
  if (door.fd < 0) return said("listen");
  if (write(STDOUT_FILENO, "kept\n", 5) != 5) return 1;
  /* What leads out of the network namespace has begun. */
  if (!read_outside() || write(outside.orders, &outside.pid, sizeof outside.pid) < 0) return 1;
  /* Nobody is to wait for its end: whoever has started it becomes another program. */
  pid_t again = fork();
  if (again != 0) return again < 0 ? said("go into the background") : 0;
  outside.started = now_ms();
  outside.fd = process_fd(outside.pid);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  for (int i = 0; i < 3; i++) dup2(null, i);
  int status = serve_clients();
  unlink(door.path);
  return status;
}

static int join_kept(const char *path, int *connection, int kept[KEPT]) {
  struct keeper_request request = {.kind = KEEPER_NAMESPACES};
  *connection = keeper_connect(path);
  return *connection < 0 ? *connection : keeper_ask(*connection, &request, NULL, 0, kept, KEPT);
}

static const char *keeper_path;
static int keeper = -1;

int serve_inside(const char *path) {
  int kept[KEPT];
  int result = join_kept(path, &keeper, kept);
  if (result < 0) return result;
  keeper_path = path;
  result = setns(kept[KEPT_NETWORK], CLONE_NEWNET) < 0 ? -errno : 0;
  for (int i = 0; i < KEPT; i++) close(kept[i]);
  return result;
}

int new_socket(uint32_t family, uint32_t type, uint32_t protocol) {
  int fd = socket((int)family, (int)type | SOCK_CLOEXEC | SOCK_NONBLOCK, (int)protocol);
  return fd < 0 ? -errno : fd;
}

int bound_socket(uint32_t family, uint32_t type, uint32_t protocol, const char *address, uint32_t port, uint32_t options) {
  union any_address to;
  socklen_t size = parse_address(&to, family, address, port);
  if (size == 0) return -EINVAL;
  int fd = new_socket(family, type, protocol);
  if (fd < 0) return fd;
  int result = bind_port(fd, &to, size, options);
  if (result >= 0) return fd;
  close(fd);
  return result;
}

int keeper_fd(void) {
  return keeper;
}

int keeper_connection(void) {
  if (keeper_path == NULL) return -1;
  int fd = keeper_connect(keeper_path);
  if (fd != -ENOENT && fd != -ECONNREFUSED) return fd;
  /* Somebody may have deleted the socket's file, and the keeper goes on. */
  int other = keeper_another(keeper);
  return other < 0 ? fd : other;
}

static int become(char **argv) {
  int connection, kept[KEPT];
  int result = join_kept(argv[2], &connection, kept);
  if (result < 0) {
    errno = -result;
    /* A guard that was there may have ended since: root's program makes another one. */
    bool gone = errno == ENOENT || errno == ECONNREFUSED || errno == ECONNRESET;
    if (gone && argv[3] != NULL && geteuid() == 0) execv(argv[3], argv + 3);
    return said("the keeper of the namespaces");
  }
  if (argv[3] == NULL) return 0;
  if (setns(kept[KEPT_USER], CLONE_NEWUSER) < 0) return said("join the user namespace");
  if (setns(kept[KEPT_MOUNT], CLONE_NEWNS) < 0) return said("join the mount namespace");
  /* The host's root is nobody there: from here on it is who the namespace's root is outside. */
  if (geteuid() != 0 && (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)) return said("become root inside");
  prctl(PR_SET_PDEATHSIG, 0);
  /* It lasts as long as the program. */
  fcntl(connection, F_SETFD, 0);
  execv(argv[3], argv + 3);
  return said(argv[3]);
}

int run_keeper(int argc, char **argv) {
  /* Both outlive whoever has started them. */
  prctl(PR_SET_PDEATHSIG, 0);
  if ((argc == 3 || argc == 4) && strcmp(argv[1], "keep") == 0) return keep(argc, argv);
  if (argc > 2 && strcmp(argv[1], "join") == 0) return become(argv);
  return -1;
}
