/*
 * How libFuzzer changes an input: one of its parts, records or events at a time, with the lengths in front of it set right, so
 * that what comes of it is read as far as its beginning was. A third of the time anything at all changes.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define PIECES 256
#define PIECE_MAX (64u << 10)

/* Of a harness: p a part (u16 length), r a part of records, 1 a byte, R records to the end, E events to the end. */
extern const char harness_layout[];
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

/* Something that may change: where it lies, and which lengths (of 2 or 4 bytes) in front of it count its bytes. */
struct piece {
  size_t at, length;
  struct { size_t at; int width; } counts[3];
  int count;
  size_t whole_at; /* with its heads: what may be doubled or left out */
};
static struct piece pieces[PIECES];
static size_t piece_count;
static uint64_t chance;

static uint32_t draw(uint32_t below) {
  chance = chance * 6364136223846793005ull + 1442695040888963407ull;
  return (uint32_t)(chance >> 33) % below;
}

static void add(const struct piece *piece) {
  if (piece_count < PIECES) pieces[piece_count++] = *piece;
}

static void add_records(const uint8_t *data, size_t at, size_t end, const struct piece *outer) {
  while (end - at >= 8) {
    uint32_t length;
    memcpy(&length, data + at, 4);
    if (length > end - at - 8) return;
    struct piece piece = *outer;
    piece.at = at + 8;
    piece.length = length;
    piece.whole_at = at;
    piece.counts[piece.count].at = at;
    piece.counts[piece.count++].width = 4;
    add(&piece);
    at += 8 + length;
  }
}

static void add_events(const uint8_t *data, size_t at, size_t end) {
  while (end - at >= 5) {
    size_t length = (size_t)data[at + 3] | (size_t)data[at + 4] << 8;
    if (length > end - at - 5) return;
    struct piece piece = {.at = at + 5, .length = length, .counts = {{at + 3, 2}}, .count = 1, .whole_at = at};
    add(&piece);
    add_records(data, at + 5, at + 5 + length, &piece);
    at += 5 + length;
  }
}

static void find_pieces(const uint8_t *data, size_t size) {
  size_t at = 0;
  piece_count = 0;
  for (const char *kind = harness_layout; *kind != '\0' && at < size; kind++) {
    const struct piece none = {0};
    if (*kind == '1') at++;
    if (*kind == 'R') add_records(data, at, size, &none);
    if (*kind == 'E') add_events(data, at, size);
    if (*kind != 'p' && *kind != 'r') continue;
    if (size - at < 2) return;
    size_t length = (size_t)data[at] | (size_t)data[at + 1] << 8;
    if (length > size - at - 2) return;
    struct piece piece = {.at = at + 2, .length = length, .counts = {{at, 2}}, .count = 1, .whole_at = at + 2};
    add(&piece);
    if (*kind == 'r') add_records(data, at + 2, at + 2 + length, &piece);
    at += 2 + length;
  }
}

/* Replaces bytes by others, with those behind them moved; false when there is no room. */
static bool replace(uint8_t *data, size_t *size, size_t most, size_t at, size_t old, const uint8_t *with, size_t length) {
  if (*size - old + length > most) return false;
  memmove(data + at + length, data + at + old, *size - at - old);
  if (length > 0) memcpy(data + at, with, length);
  *size += length - old;
  return true;
}

static void recount(uint8_t *data, const struct piece *piece, int counts, size_t more) {
  for (int i = 0; i < counts; i++) {
    uint32_t value = 0;
    memcpy(&value, data + piece->counts[i].at, (size_t)piece->counts[i].width);
    value += (uint32_t)more;
    memcpy(data + piece->counts[i].at, &value, (size_t)piece->counts[i].width);
  }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
  static uint8_t scratch[PIECE_MAX];
  chance = seed;
  find_pieces(data, size);
  if (piece_count == 0 || draw(3) == 0) return LLVMFuzzerMutate(data, size, most);
  const struct piece *piece = &pieces[draw((uint32_t)piece_count)];
  size_t whole = piece->at + piece->length - piece->whole_at;
  bool is_part = piece->whole_at == piece->at;
  if (is_part || draw(4) != 0 || whole > PIECE_MAX) {
    if (piece->length >= PIECE_MAX) return LLVMFuzzerMutate(data, size, most);
    memcpy(scratch, data + piece->at, piece->length);
    size_t room = piece->length * 2 + 64 < PIECE_MAX - 1 ? piece->length * 2 + 64 : PIECE_MAX - 1;
    size_t length = LLVMFuzzerMutate(scratch, piece->length, room);
    if (replace(data, &size, most, piece->at, piece->length, scratch, length)) recount(data, piece, piece->count, length - piece->length);
    return size;
  }
  /* A record or event as it is: once more in front of another of its kind, or no more. */
  const struct piece *other = &pieces[draw((uint32_t)piece_count)];
  memcpy(scratch, data + piece->whole_at, whole);
  if (draw(3) == 0) {
    if (replace(data, &size, most, piece->whole_at, whole, NULL, 0)) recount(data, piece, piece->count - 1, -whole);
  } else if (other->count == piece->count && other->whole_at != other->at) {
    if (replace(data, &size, most, other->whole_at, 0, scratch, whole)) recount(data, other, other->count - 1, whole);
  }
  return size;
}
