/**
 * Something a person should know about. Problems are data: sources and `desired/` return them, `weft status` and
 * `weft explain` show them, nobody has to have read the log.
 */
export interface Problem {
  /** Stable, machine-readable: `unknown-annotation-value`, `manifest-refused`, … */
  readonly code: string
  /** What is wrong, naming the object and, for files, `file:line`. */
  readonly message: string
  /** What to do next. */
  readonly hint: string
}
