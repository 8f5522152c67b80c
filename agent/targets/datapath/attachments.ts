import path from 'node:path'
import type { BpfProgram } from '../../../native/index.ts'
import type { ProgramPin } from '../../maps/program-pins.ts'
import type { Attachment, Hook } from './hook.ts'
import { BpfError } from '../../../native/index.ts'
import { parsePin } from '../../maps/program-pins.ts'
import { attach, detachPin, isInPlace, pinPath, pinsIn } from './hook.ts'

export interface Wanted {
  readonly program: string
  readonly hook: Hook
  /** Where the rest is to go on without it. */
  readonly onRefused?: (error: BpfError) => void
}

/** What is attached under one directory of pins, by this process or by one before it. */
export class Attachments {
  readonly #dir: string
  readonly #program: (name: string) => BpfProgram
  readonly #held = new Map<string, Attachment>()

  constructor(dir: string, program: (name: string) => BpfProgram) {
    this.#dir = dir
    this.#program = program
  }

  /** Those of this process. */
  list(): Attachment[] {
    return [...this.#held.values()]
  }

  /** Pins of programs on devices. */
  places(): (ProgramPin & { readonly pin: string })[] {
    return pinsIn(this.#dir).flatMap((name) => {
      const found = parsePin(name)
      return found === undefined ? [] : [{ pin: path.join(this.#dir, name), ...found }]
    })
  }

  /** Whether this process has attached it, and it is still there. */
  holds(program: string, hook: Hook): boolean {
    const pin = pinPath(this.#dir, program, hook)
    return this.#held.has(pin) && isInPlace(pin)
  }

  /** All or nothing: a hook that fails puts the earlier ones back. */
  attach(wanted: readonly Wanted[]): void {
    const done: Attachment[] = []
    try {
      for (const { program, hook, onRefused } of wanted) {
        try {
          done.push(attach(this.#program(program), hook, this.#dir))
        } catch (error) {
          if (onRefused === undefined || !(error instanceof BpfError)) throw error
          onRefused(error)
        }
      }
    } catch (error) {
      for (const attachment of done.reverse()) attachment.undo()
      throw error
    }
    for (const attachment of done) {
      attachment.commit()
      this.#held.get(attachment.pin)?.close()
      this.#held.set(attachment.pin, attachment)
    }
  }

  forget(pin: string): void {
    this.#held.get(pin)?.close()
    this.#held.delete(pin)
    detachPin(pin)
  }

  /** Takes away what is attached to no device: programs for calls of processes. */
  forgetCgroup(): void {
    for (const name of pinsIn(this.#dir)) if (parsePin(name) === undefined) this.forget(path.join(this.#dir, name))
  }

  /** Lets go of the handles; everything in the kernel stays. */
  close(): void {
    for (const attachment of this.#held.values()) attachment.close()
    this.#held.clear()
  }
}
