import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { UsageError } from './errors.ts'

const DEFAULT_DIRECTORY = '/run/weft/contexts'
const SUFFIX = '.sock'
/** The exporter of the same cluster, beside the agent. */
const APISERVER_SUFFIX = '.apiserver.sock'

type Env = Readonly<Record<string, string | undefined>>

/**
 * Agents elsewhere, by names as kubectl's contexts have: a directory of sockets, each a link to one on this machine or
 * forwarded from another.
 *
 * @throws UsageError when none is called `name`
 */
export function contextSocket(env: Env, name: string): string {
  const directory = directoryOf(env)
  const path = join(directory, `${name}${SUFFIX}`)
  if (!name.includes('/') && existsSync(path)) return path
  const known = contextNames(directory)
  throw new UsageError(
    `there is no context ${name}: no socket ${path}`,
    known.length > 0
      ? `there are: ${known.join(', ')}`
      : `link an agent's socket there, or forward one: ssh -L ${path}:/run/weft/weft.sock NODE (env WEFT_CONTEXTS: the directory)`,
  )
}

/** Whether it exists is to be asked by who uses it: clusters that export nothing have none. */
export function contextApiserverSocket(env: Env, name: string): string {
  return join(directoryOf(env), `${name}${APISERVER_SUFFIX}`)
}

function directoryOf(env: Env): string {
  return env['WEFT_CONTEXTS'] || DEFAULT_DIRECTORY
}

function contextNames(directory: string): string[] {
  if (!existsSync(directory)) return []
  const files = readdirSync(directory).filter((file) => file.endsWith(SUFFIX) && !file.endsWith(APISERVER_SUFFIX))
  return files.map((file) => file.slice(0, -SUFFIX.length)).sort()
}
