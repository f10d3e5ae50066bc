/**
 * Requests that are meant to be read in two ways: one by whoever checks them, another by whoever answers.
 */

/** What must never be answered. */
export const smuggled = "GET /containers/json?smuggled=1 HTTP/1.1\r\nHost: x\r\n\r\n";
const post = "POST /containers/prune HTTP/1.1\r\nHost: x\r\n";
/** By what is odd about them; behind each `smuggled` is sent. */
export const attacks: Readonly<Record<string, string>> = {
  "length and chunks": `${post}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "two lengths": `${post}Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello`,
  "a list of lengths": `${post}Content-Length: 5, 5\r\n\r\nhello`,
  "a signed length": `${post}Content-Length: +5\r\n\r\nhello`,
  "a length in hexadecimal": `${post}Content-Length: 0x5\r\n\r\nhello`,
  "a length beyond 64 bits": `${post}Content-Length: 18446744073709551621\r\n\r\nhello`,
  "a space before the colon": `${post}Content-Length : 5\r\n\r\nhello`,
  "an unknown coding": `${post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`,
  "two codings": `${post}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "chunked not at the end": `${post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n`,
  "a folded line": `${post}X: a\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
  "bare newlines": "POST /containers/prune HTTP/1.1\nHost: x\nContent-Length: 0\n\n",
  "a bare return": `${post}X: a\rContent-Length: 5\r\n\r\n`,
  "two hosts": `${post}Host: y\r\nContent-Length: 0\r\n\r\n`,
  "no host": "POST /containers/prune HTTP/1.1\r\n\r\n",
  "too many lines": `${post}${"X-A: b\r\n".repeat(300)}\r\n`,
  "a line that is too long": `${post}X: ${"a".repeat(1 << 17)}\r\n\r\n`,
  "a path that is too long": `GET /${"a".repeat(1 << 17)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  // Heads that are whole are acted upon, whatever their bodies turn out to be; what is behind those is never read.
  "a chunk's size with a prefix": `${post}Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n`,
  "a chunk without its end": `${post}Transfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n`,
  "a chunk beyond 64 bits": `${post}Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n`,
};
