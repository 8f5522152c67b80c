import { spawn, type StdioOptions } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { LabError } from './errors.ts'

/**
 * A process that cannot be mistaken for another: a pid is reused, a pid with its start time is not.
 * `start` is field 22 of /proc/PID/stat, in clock ticks since boot.
 */
export interface ProcessId {
  readonly pid: number
  readonly start: string
}

/** The start time of a live process, undefined when it is gone or a zombie. */
export function startTime(pid: number): string | undefined {
  let stat: string
  try {
    stat = readFileSync(`/proc/${String(pid)}/stat`, 'latin1')
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
  // The command name is in parentheses and may hold spaces and parentheses itself: fields count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields[0] === 'Z' ? undefined : fields[19]
}

export function isGone(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code
  return code === 'ENOENT' || code === 'ESRCH' || code === 'ENODEV'
}

export function isAlive(id: ProcessId): boolean {
  return startTime(id.pid) === id.start
}

/** Sends a signal to exactly this process; false when it is no longer there. */
export function signal(id: ProcessId, name: NodeJS.Signals): boolean {
  if (!isAlive(id)) return false
  try {
    return process.kill(id.pid, name)
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

/** Remembers a process under a file name; the file is the only place its id is kept. */
export function record(file: string, pid: number): ProcessId {
  const start = startTime(pid)
  if (start === undefined)
    throw new LabError('died-at-start', `${path.basename(file)} (pid ${String(pid)}) died at once`)
  mkdirSync(path.dirname(file), { recursive: true })
  writeFileSync(file, JSON.stringify({ pid, start }))
  return { pid, start }
}

/** The recorded process if it still runs, undefined otherwise. */
export function recall(file: string): ProcessId | undefined {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
  let value: Partial<ProcessId>
  try {
    value = JSON.parse(text) as Partial<ProcessId>
  } catch {
    return undefined // cut off while it was written: the process is found through its cgroup
  }
  if (typeof value.pid !== 'number' || typeof value.start !== 'string') return undefined
  const id = { pid: value.pid, start: value.start }
  return isAlive(id) ? id : undefined
}

export interface Finished {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
  readonly signal?: AbortSignal
}

/** Runs a command to its end; the exit status is the caller's to judge. A command killed by a signal has status 128 + n. */
export function run(command: readonly string[], options: RunOptions = {}): Promise<Finished> {
  const [file, ...args] = command
  if (file === undefined) throw new TypeError('no command')
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: options.env ?? process.env,
      cwd: options.cwd,
      signal: options.signal,
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
    child.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') return void reject(error)
      reject(
        new LabError('missing-command', `${file} is not installed`, { hint: 'run `make setup` as root', cause: error }),
      )
    })
    child.on('close', (code, name) => {
      resolve({ code: code ?? 128 + signalNumber(name), stdout, stderr })
    })
    child.stdin.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') reject(error) // EPIPE: the command ended without reading its input
    })
    child.stdin.end(options.input ?? '')
  })
}

/** As `run`, but any status other than 0 is an error that carries what the command said. */
export async function must(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const done = await run(command, options)
  if (done.code !== 0) {
    const said = (done.stderr.trim() || done.stdout.trim()).slice(-2000)
    throw new LabError('command-failed', `${command.join(' ').slice(0, 300)} ended with ${String(done.code)}: ${said}`)
  }
  return done.stdout
}

/** Starts a process that outlives the lab command: own session, output appended to a log file. Returns its pid. */
export function launch(command: readonly string[], options: { log: string; env?: NodeJS.ProcessEnv }): number {
  const [file, ...args] = command
  if (file === undefined) throw new TypeError('no command')
  mkdirSync(path.dirname(options.log), { recursive: true })
  const log = openSync(options.log, 'a')
  try {
    const stdio: StdioOptions = ['ignore', log, log]
    const child = spawn(file, args, { stdio, detached: true, env: options.env ?? process.env, cwd: '/' })
    child.on('error', () => undefined) // a failed start has no pid, told below
    child.unref()
    if (child.pid === undefined)
      throw new LabError('missing-command', `${file} could not be started`, { hint: 'run `make setup` as root' })
    return child.pid
  } finally {
    closeSync(log)
  }
}

export function signalNumber(name: NodeJS.Signals | null): number {
  const known: Partial<Record<NodeJS.Signals, number>> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGQUIT: 3,
    SIGABRT: 6,
    SIGKILL: 9,
    SIGSEGV: 11,
    SIGPIPE: 13,
    SIGTERM: 15,
  }
  return name === null ? 0 : (known[name] ?? 0)
}
