/**
 * Waits until a condition holds, instead of sleeping for a guessed time.
 *
 * `fn` says "not yet" by throwing (a failed `expect` will do) or by returning false; whatever else it returns, undefined
 * included, ends the wait and is the result. It is asked again after each turn of the event loop, at growing distances up
 * to `everyMs`, so a condition that is met at once costs microseconds and a slow one costs no CPU.
 *
 * Rejects after `timeoutMs` (default 10 s) with what `fn` said last as `cause`.
 */
export async function eventually<T>(
  fn: () => T | Promise<T>,
  options: { timeoutMs?: number; everyMs?: number; what?: string } = {},
): Promise<Exclude<T, false>> {
  const { timeoutMs = 10_000, everyMs = 50, what = 'the condition' } = options
  const deadline = performance.now() + timeoutMs
  for (let pause = 0; ; pause = Math.min(everyMs, pause + 1 + pause / 2)) {
    let reason: unknown = new Error('it returned false')
    try {
      const value = await fn()
      if (value !== false) return value as Exclude<T, false>
    } catch (error) {
      reason = error
    }
    const left = deadline - performance.now()
    if (left <= 0) {
      const last = reason instanceof Error ? reason.message : String(reason)
      throw new Error(`${what} did not hold within ${timeoutMs} ms; last: ${last}`, { cause: reason })
    }
    await turn(Math.min(pause, left))
  }
}

function turn(ms: number): Promise<void> {
  return new Promise((resolve) => {
    if (ms < 1) setImmediate(resolve)
    else setTimeout(resolve, ms)
  })
}
