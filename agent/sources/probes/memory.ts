import type { Log } from '../../lib/log.ts'
import { readFileSync } from 'node:fs'
import { mkdir, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { describeError } from '../../lib/errors.ts'
import { stagedName, writeStaged } from '../../lib/staged-file.ts'
import { formatReachKey, parseReachKey } from '../../types/reach.ts'

/** Of more backends than these, the rest is learnt anew. */
const MOST = 10_000

/**
 * Which backends have answered before, kept in a file so that an agent that is started again knows whose silence means something:
 * without it, pods that died before would be used again until the cluster itself is silent.
 */
export class ProbeMemory {
  readonly #file: string
  readonly #log: Log
  #complained = false

  constructor(file: string, log: Log) {
    this.#file = file
    this.#log = log
  }

  /** By `reachKey`; empty when there is no file, or one that cannot be read. */
  recall(): ReadonlySet<number> {
    const keys = new Set<number>()
    try {
      for (const line of readFileSync(this.#file, 'utf8').split('\n')) {
        const key = parseReachKey(line)
        if (key !== undefined) keys.add(key)
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') this.#complain(error, 'read')
    }
    return keys
  }

  /** Takes the place of what was kept before, or leaves that. Never rejects. */
  async keep(answered: Iterable<number>): Promise<void> {
    const lines: string[] = []
    for (const key of answered) if (lines.push(formatReachKey(key)) === MOST) break
    const staged = stagedName(this.#file)
    try {
      await mkdir(dirname(this.#file), { recursive: true })
      await writeStaged(staged, `${lines.join('\n')}\n`, 0o600)
      await rename(staged, this.#file)
    } catch (error) {
      this.#complain(error, 'written')
    }
  }

  #complain(error: unknown, what: string): void {
    if (this.#complained) return
    this.#complained = true
    this.#log.warn({ err: error }, `${this.#file} cannot be ${what}: ${describeError(error)}`)
  }
}
