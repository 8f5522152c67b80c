/**
 * Root of every error weft raises on purpose.
 *
 * `code` is stable and machine-readable (it appears in `weft status -o json`), `hint` says what to do next,
 * `cause` keeps what the layer below said.
 */
export class WeftError extends Error {
  readonly code: string
  readonly hint: string | undefined

  constructor(code: string, message: string, options: { hint?: string | undefined; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause })
    this.name = new.target.name
    this.code = code
    this.hint = options.hint
  }
}

/** The configuration cannot be used; nothing was started. */
export class ConfigError extends WeftError {}

/** One line for a person: the message, then the messages of its causes. */
export function describeError(error: unknown): string {
  const parts: string[] = []
  let current: unknown = error
  while (current instanceof Error && parts.length < 5) {
    if (!parts.some((part) => part.includes((current as Error).message))) parts.push(current.message)
    current = current.cause
  }
  return parts.length === 0 ? String(error) : parts.join(': ')
}

/** What to do next, from the first error in the chain that knows. */
export function hintOf(error: unknown): string | undefined {
  for (let current = error; current instanceof Error; current = current.cause) {
    const hint = (current as { hint?: unknown }).hint
    if (typeof hint === 'string') return hint
  }
  return undefined
}
