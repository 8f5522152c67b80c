import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LabError } from '../lab/errors.ts'

/**
 * Wall clocks of single processes, which can be stepped while they run: libfaketime is loaded into them and reads how far they
 * are off from a file each. The clock that timers go by stays true, as it does when an operator or NTP sets the time.
 */
export class Clocks {
  readonly #dir: string
  readonly #library: string

  constructor(dir: string) {
    this.#dir = dir
    this.#library = findLibrary()
    mkdirSync(dir, { recursive: true })
  }

  /** Runs `start`, which launches a process before it returns, so that the process has the clock `name`. */
  launch(name: string, start: () => void): void {
    if (!existsSync(this.#file(name))) this.set(name, 0)
    const added = {
      LD_PRELOAD: this.#library,
      FAKETIME_TIMESTAMP_FILE: this.#file(name),
      FAKETIME_CACHE_DURATION: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    }
    Object.assign(process.env, added)
    try {
      start()
    } finally {
      for (const key of Object.keys(added)) Reflect.deleteProperty(process.env, key)
    }
  }

  /** The process notices within a second. */
  set(name: string, seconds: number): void {
    writeFileSync(this.#file(name), `${seconds < 0 ? '' : '+'}${seconds}\n`)
  }

  #file(name: string): string {
    return path.join(this.#dir, name)
  }
}

/** Debian has it in a directory named after the machine. */
function findLibrary(): string {
  const file = readdirSync('/usr/lib')
    .map((entry) => path.join('/usr/lib', entry, 'faketime', 'libfaketimeMT.so.1'))
    .find((candidate) => existsSync(candidate))
  if (file !== undefined) return file
  throw new LabError('no-faketime', 'libfaketime is not installed', { hint: 'run `make setup` as root' })
}
