/*
 * Answers that the daemon has said to hold for as long as nothing else is said: they are given while there is no daemon. Which
 * they are, the daemon decides, and when they hold no longer; the oldest makes room.
 */
#include "shim.h"

#define HEADER 12
#define MAX_KEPT 64u
#define KEPT_SIZE 512u

static struct kept {
  uint16_t section, length; /* of the question section, of the whole; 0: none */
  uint8_t message[KEPT_SIZE];
} answers[MAX_KEPT];
static uint32_t next;

static uint8_t lower(uint8_t c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; }

/* Names are the same in whatever case. */
static struct kept *find(const uint8_t *message, size_t length) {
  for (uint32_t i = 0; i < MAX_KEPT; i++) {
    struct kept *one = &answers[i];
    if (one->length == 0 || length < HEADER + (size_t)one->section) continue;
    size_t at = HEADER;
    while (at < HEADER + (size_t)one->section && lower(message[at]) == lower(one->message[at])) at++;
    if (at == HEADER + (size_t)one->section) return one;
  }
  return NULL;
}

void names_keep(uint32_t section, struct wire_bytes message) {
  if (message.length > KEPT_SIZE || message.length < HEADER || section == 0 || section > message.length - HEADER) return;
  struct kept *one = find(message.data, message.length);
  if (one == NULL) one = &answers[next++ % MAX_KEPT];
  one->section = (uint16_t)section;
  one->length = (uint16_t)message.length;
  memcpy(one->message, message.data, message.length);
}

void names_forget(void) {
  for (uint32_t i = 0; i < MAX_KEPT; i++) {
    if (answers[i].length > 0) answers[i].length = 0;
  }
}

const uint8_t *names_answer(const uint8_t *question, size_t size, size_t *length) {
  static uint8_t answer[KEPT_SIZE];
  /* Only what is a plain question. */
  const struct kept *one = find(question, size);
  if (one == NULL || question[2] & 0xf8) return NULL;
  memcpy(answer, one->message, one->length);
  memcpy(answer, question, 2);
  memcpy(answer + HEADER, question + HEADER, one->section);
  *length = one->length;
  return answer;
}
