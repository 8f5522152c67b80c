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

/** Runs `work`; if it takes longer than a second, says so then and again when it is done. */
export async function step<T>(what: string, work: () => Promise<T>): Promise<T> {
  let told = false
  const timer = setTimeout(() => {
    told = true
    say(`${what} …`)
  }, PATIENCE_MS)
  try {
    const result = await work()
    if (told) say(`${what}: done`)
    return result
  } finally {
    clearTimeout(timer)
  }
}
