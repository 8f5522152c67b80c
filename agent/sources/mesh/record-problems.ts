import type { Problem } from '../../types/problem.ts'
import type { Writer } from '../../state/writer.ts'

/** Refused records named one by one; the rest is a number. */
const SHOWN = 50

/** Collects what is wrong with a peer's records, and hands it to the Writer once per batch of events. */
export class RecordProblems {
  readonly #writer: Writer
  readonly #cluster: string
  readonly #refused = new Map<string, string>()
  #pending = false

  constructor(writer: Writer, cluster: string) {
    this.#writer = writer
    this.#cluster = cluster
  }

  /** Whether any record is refused at present. */
  get any(): boolean {
    return this.#refused.size > 0
  }

  refuse(key: string, why: string): void {
    this.#refused.set(key, why)
    this.#schedule()
  }

  accept(key: string): void {
    if (this.#refused.delete(key)) this.#schedule()
  }

  clear(): void {
    this.#refused.clear()
    this.#schedule()
  }

  #schedule(): void {
    if (this.#pending) return
    this.#pending = true
    queueMicrotask(() => {
      this.#pending = false
      this.#writer.setProblems(`mesh/${this.#cluster}`, this.#problems())
    })
  }

  #problems(): Problem[] {
    const problems: Problem[] = []
    for (const [key, why] of this.#refused) {
      if (problems.length === SHOWN) {
        problems.push({
          code: 'mesh-records-refused',
          message: `cluster ${this.#cluster}: ${this.#refused.size - SHOWN} more records are refused`,
          hint: 'the agent log names each of them',
        })
        break
      }
      problems.push({
        code: 'mesh-record-refused',
        message: `cluster ${this.#cluster}: the record ${key} ${why}`,
        hint: 'whatever it said before stays in use; correct what exports it, or delete the key',
      })
    }
    return problems
  }
}
