/**
 * Progress on stderr: one line for each step that takes longer than a second, none for the quick ones,
 * so that a fast run is quiet and a slow one says where it stands.
 */
const PATIENCE_MS = 1000

const started = performance.now()

export function say(text: string): void {
  const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(5)
  process.stderr.write(`${seconds} s  ${text}\n`)
}

/** Runs `work`; says what it is if it takes longer than a second. */
export async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  const timer = setTimeout(() => {
    say(`${what} …`)
  }, PATIENCE_MS)
  try {
    return await work()
  } finally {
    clearTimeout(timer)
  }
}
