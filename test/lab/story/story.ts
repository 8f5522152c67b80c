import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { eventually } from '../../eventually.ts'
import type { Lab } from '../cli.ts'
import { LabError } from '../errors.ts'
import { run, type Finished } from '../process.ts'
import { step } from '../progress.ts'

/**
 * The story is told with real commands: each is printed as a person would type it from the checkout, run by bash, and
 * followed by what it really printed. Points return what they saw as values, so that a test can judge the same run.
 */
export class Story {
  readonly lab: Lab
  readonly #out: (text: string) => void
  /** Where commands that run in the background leave their output. */
  readonly scratch: string

  constructor(lab: Lab, out: (text: string) => void) {
    this.lab = lab
    this.#out = out
    this.scratch = path.join(lab.paths.state, 'story')
    mkdirSync(this.scratch, { recursive: true })
  }

  say(text: string): void {
    this.#out(`${text}\n`)
  }

  /** Shows and runs one command line. Its stderr is shown too; a status other than 0 is the point's to judge. */
  async sh(line: string): Promise<Finished> {
    this.say(`$ ${line}`)
    const done = await this.quiet(line)
    this.#out(done.stdout + done.stderr)
    return done
  }

  /** As `sh`, and the command must succeed. */
  async must(line: string): Promise<string> {
    return succeeded(line, await this.sh(line)).stdout
  }

  /** Runs a command line without showing it: for looking, not for telling. */
  quiet(line: string): Promise<Finished> {
    return run(['bash', '-c', line], { env: this.lab.env, cwd: this.lab.paths.root })
  }

  async quietly(line: string): Promise<string> {
    return succeeded(line, await this.quiet(line)).stdout
  }

  /** Shows and starts a command line whose output goes to `file` in the scratch directory. */
  background(line: string, file: string): Background {
    const target = path.join(this.scratch, file)
    this.say(`$ ${line} >${target} &`)
    writeFileSync(target, '')
    const child = spawn('bash', ['-c', `exec ${line} >${target}`], {
      env: this.lab.env,
      cwd: this.lab.paths.root,
      stdio: 'ignore',
    })
    const ended = new Promise<void>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', () => {
        resolve()
      })
    })
    return {
      file: target,
      stop: async () => {
        child.kill('SIGTERM')
        await ended
      },
    }
  }

  /** Waits until `probe` gives something else than false; tells what it waits for when that takes longer than a second. */
  until(what: string, probe: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<unknown> {
    return step(`waiting: ${what}`, () => eventually(probe, { what, timeoutMs }))
  }
}

export interface Background {
  readonly file: string
  /** Ends the command and waits until it is gone. */
  readonly stop: () => Promise<void>
}

/** One point of the story: tells it, and says of what it saw which promises do not hold (none when all is well). */
export interface Point<Evidence> {
  readonly title: string
  readonly tell: (story: Story) => Promise<Evidence>
  readonly violations: (evidence: Evidence) => string[]
}

function succeeded(line: string, done: Finished): Finished {
  if (done.code === 0) return done
  throw new LabError('command-failed', `${line} ended with ${String(done.code)}: ${done.stderr.trim().slice(-1000)}`)
}
