import path from 'node:path'
import { labPaths, type LabPaths } from './paths.ts'
import { LabError } from './errors.ts'
import { run, type Finished, type RunOptions } from './process.ts'

/** The lab as a program sees it: the same command line that a person types. */
export class Lab {
  readonly paths: LabPaths

  constructor(name?: string) {
    this.paths = labPaths(name)
  }

  /** The first command of a run builds what is stale; the ones after it run what the first one ran. */
  #built = false

  /** The environment in which `lab …` means this lab. */
  get env(): NodeJS.ProcessEnv {
    const bin = path.join(this.paths.root, 'test', 'lab')
    return {
      ...(this.#built ? { WEFT_LAB_BUILT: '1' } : {}),
      ...process.env,
      WEFT_LAB: this.paths.name,
      PATH: `${bin}:${process.env['PATH'] ?? ''}`,
    }
  }

  /** Runs `lab ARGS…`; the status is the caller's to judge. */
  async try(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
    const done = await run(['lab', ...args], { env: this.env, cwd: this.paths.root, ...options })
    this.#built = true
    return done
  }

  async run(args: readonly string[], options: RunOptions = {}): Promise<string> {
    const done = await this.try(args, options)
    if (done.code !== 0)
      throw new LabError('lab-failed', `lab ${args.join(' ')} ended with ${String(done.code)}: ${done.stderr.trim()}`)
    return done.stdout
  }

  exec(host: string, command: readonly string[]): Promise<string> {
    return this.run(['exec', host, '--', ...command])
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run(args)) as T
  }
}
