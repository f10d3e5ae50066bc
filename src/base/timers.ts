/**
 * Waiting for longer than the runtime's own timers take: those go off at once when they are given more than 24 days.
 */

const LONGEST_MS = 2 ** 31 - 1;

/** Calls back after `ms`, which may be Infinity; gives what calls it off. */
export function after(ms: number, work: () => void): () => void {
  let left = Math.max(ms, 0);
  let timer: ReturnType<typeof setTimeout>;
  const next = () => {
    const step = Math.min(left, LONGEST_MS);
    left -= step;
    timer = setTimeout(left > 0 ? next : work, step);
  };
  next();
  return () => clearTimeout(timer);
}

/** Resolves after `ms`, or at once when the signal goes off; nothing of it stays with the signal. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const cancel = after(ms, resolve);
  if (signal.aborted) resolve();
  signal.addEventListener("abort", resolve as () => void);
  return promise.finally(() => {
    cancel();
    signal.removeEventListener("abort", resolve as () => void);
  });
}

/** Waits for work, but not when the signal goes off: then it rejects with its reason, and the work goes on. */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort);
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
