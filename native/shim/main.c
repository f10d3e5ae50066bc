/*
 * berth-shim RUNDIR: reads RUNDIR/plan and carries it out. Descriptor 3 is the listening socket, 4 the connection to the
 * keeper of namespaces, if there is one, 5 a netlink socket that is only kept; 10 and up are handles that the plan names or
 * that only have to stay open (claimed ports).
 */
#include "shim.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

int main(int argc, char **argv) {
  char path[4200];
  struct shim_plan plan;
  struct stat info;
  if (argc != 2 || snprintf(path, sizeof path, "%s/plan", argv[1]) >= (int)sizeof path) return 2;
  prctl(PR_SET_NAME, "berth-shim");
  ports_begin();
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &info) < 0 || info.st_size == 0) return 1;
  const uint8_t *ops = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
  close(fd);
  if (ops == MAP_FAILED || read_shim_plan(&plan, ops, (size_t)info.st_size) < 0) return 1;
  supervise(&plan, ops, (size_t)info.st_size, argv[1]);
}
