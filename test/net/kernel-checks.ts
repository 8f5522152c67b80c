import { execFileSync } from 'node:child_process'

/** Runs a script to its end; what it printed. Throws when it fails. Without the socket that bash would take for a remote shell's. */
export function sh(script: string): string {
  return execFileSync('bash', ['-euc', script], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })
}

/** Counts what was as it should be, and says what was not. It goes on: a run in a virtual machine takes minutes. */
export class Checks {
  passed = 0
  failed = 0

  same(what: string, get: string | (() => string), wanted: string): void {
    let got: string
    try {
      got = typeof get === 'string' ? get : get()
    } catch (error) {
      this.#fails(what, String(error))
      return
    }
    if (got === wanted) this.passed++
    else this.#fails(what, `got ${JSON.stringify(got)}, expected ${JSON.stringify(wanted)}`)
  }

  /** `get` says what is wrong, or nothing. */
  holds(what: string, get: () => string | undefined): void {
    this.same(what, () => get() ?? 'it holds', 'it holds')
  }

  #fails(what: string, how: string): void {
    this.failed++
    process.stdout.write(`FAIL ${what}\n${how}\n`)
  }
}
