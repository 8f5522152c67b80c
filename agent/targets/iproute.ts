import { execFile } from 'node:child_process'
import { WeftError } from '../lib/errors.ts'

/** Runs `ip` with these arguments and this input, in the network namespace of the process. */
export type IpRunner = (args: readonly string[], input?: string) => Promise<IpResult>

export interface IpResult {
  readonly ok: boolean
  readonly stdout: string
  readonly stderr: string
}

const MAX_OUTPUT = 256 << 20

/** iproute2 from PATH, never through a shell. Throws WeftError `iproute2-missing`. */
export const runIp: IpRunner = (args, input) =>
  new Promise((resolve, reject) => {
    const child = execFile('ip', [...args], { maxBuffer: MAX_OUTPUT }, (error, stdout, stderr) => {
      if (error !== null && typeof error.code !== 'number') {
        reject(
          new WeftError('iproute2-missing', 'the `ip` command cannot be run', {
            hint: 'apt-get install iproute2',
            cause: error,
          }),
        )
      } else resolve({ ok: error === null, stdout, stderr })
    })
    // A program that ends early closes its input; how it ended says why.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(input ?? '')
  })

/**
 * Runs the lines with `ip -batch`, going on behind a line that fails. Returns what `ip` said about each failed line, by its
 * index. Throws WeftError `iproute2-failed` when the output does not say which line failed.
 */
export async function ipBatch(run: IpRunner, lines: readonly string[]): Promise<ReadonlyMap<number, string>> {
  const failed = new Map<number, string>()
  if (lines.length === 0) return failed
  const { ok, stderr } = await run(['-4', '-force', '-batch', '-'], `${lines.join('\n')}\n`)
  let said: string[] = []
  for (const line of stderr.split('\n')) {
    const number = /^Command failed -:(\d+)$/.exec(line)?.[1]
    if (number === undefined) {
      if (line !== '') said.push(line.replace(/^(RTNETLINK answers|Error): /, ''))
      continue
    }
    failed.set(Number(number) - 1, said.join('; '))
    said = []
  }
  if (!ok && failed.size === 0) throw new WeftError('iproute2-failed', `ip -batch failed: ${stderr.trim()}`)
  return failed
}

/** What `ip -j` prints, line by line; of a line that a filter left out, an empty object. Throws WeftError `iproute2-failed`. */
export async function ipJson<Line>(run: IpRunner, args: readonly string[]): Promise<Line[]> {
  const { ok, stdout, stderr } = await run(['-j', ...args])
  if (!ok) throw new WeftError('iproute2-failed', `ip -j ${args.join(' ')}: ${stderr.trim()}`)
  return stdout.trim() === '' ? [] : (JSON.parse(stdout) as Line[])
}

/** A line of `ip -j route`, as far as it matters here. A host route's `dst` is a bare address. */
export interface KernelRoute {
  readonly dst: string
  readonly gateway?: string
  readonly dev?: string
  /** Left out for `boot`, what `ip route add` uses by itself. */
  readonly protocol?: string
  readonly metric?: number
}

/** The main table. Throws WeftError `iproute2-failed`. */
export function mainRoutes(run: IpRunner): Promise<KernelRoute[]> {
  return ipJson(run, ['-4', 'route', 'show', 'table', 'main'])
}
