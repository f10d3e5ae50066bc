/*
 * Gives each file of the named directories to a harness once. A compiler without libFuzzer can build it: what has been found
 * and what has been covered is gone through again everywhere, under sanitizers.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path) {
  static uint8_t buffer[INPUT_MAX];
  FILE *file = fopen(path, "rb");
  if (file == NULL) return -1;
  size_t size = fread(buffer, 1, sizeof buffer, file);
  fclose(file);
  /* In memory of its own length, so that nothing is read behind it. */
  uint8_t *exact = malloc(size > 0 ? size : 1);
  memcpy(exact, buffer, size);
  LLVMFuzzerTestOneInput(exact, size);
  free(exact);
  return 0;
}

int main(int argc, char **argv) {
  unsigned count = 0;
  char path[4096];
  for (int i = 1; i < argc; i++) {
    DIR *directory = opendir(argv[i]);
    for (struct dirent *entry; directory != NULL && (entry = readdir(directory)) != NULL;) {
      if (entry->d_name[0] == '.') continue;
      snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
      /* Known before it is tried: the last name is that of a crash. */
      fprintf(stderr, "%s\n", path);
      if (replay(path) == 0) count++;
    }
    if (directory == NULL && replay(argv[i]) == 0) count++;
    if (directory != NULL) closedir(directory);
  }
  printf("%u inputs\n", count);
  return count == 0;
}
