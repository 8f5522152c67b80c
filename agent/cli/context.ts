import type { Command } from 'commander'
import { Option } from 'commander'
import type { Api } from '../api/client.ts'
import type { Clock } from '../lib/clock.ts'
import { contextSocket } from './contexts.ts'

export const DEFAULT_SOCKET = '/run/weft/weft.sock'
export const DEFAULT_BPF_ROOT = '/sys/fs/bpf'

/** What a command may touch. Tests pass their own streams, agent and clock. */
export interface CliContext {
  /** Data, and nothing else. */
  stdout(text: string): void
  /** Progress, warnings, errors. */
  stderr(text: string): void
  readonly env: Readonly<Record<string, string | undefined>>
  api(socket: string): Api
  readonly clock: Clock
  /** Ends daemons and waiting commands. */
  readonly signal: AbortSignal
  /** Set by a command that worked and has bad news; the exit status of the process. */
  exitCode: number
  readonly daemons: Daemons
}

/** Flag values by their long name, without dashes; only those given on the command line. */
export type FlagValues = Readonly<Record<string, string | boolean>>

/** The long-running programs; each resolves when its signal was aborted and everything is stopped. */
export interface Daemons {
  agent(flags: FlagValues, context: CliContext): Promise<void>
  /** `weft agent --cleanup`: ends by itself. */
  cleanup(flags: FlagValues, context: CliContext): Promise<void>
  apiserver(flags: FlagValues, context: CliContext): Promise<void>
  kvstoremesh(flags: FlagValues, context: CliContext): Promise<void>
}

export type Format = 'table' | 'json' | 'yaml'

export function formatOption(): Option {
  return new Option('-o, --output <format>', 'output format').choices(['table', 'json', 'yaml']).default('table')
}

/** Prints `report` as JSON or YAML, or what `table` makes of it. */
export async function print<T>(
  context: CliContext,
  format: Format,
  report: T,
  table: (report: T) => string,
): Promise<void> {
  if (format === 'json') context.stdout(`${JSON.stringify(report, null, 2)}\n`)
  else if (format === 'yaml') {
    const { stringify } = await import('yaml')
    // No anchors: the same object in two places is printed twice, as people and simple parsers expect.
    context.stdout(stringify(report, { aliasDuplicateObjects: false, lineWidth: 0 }))
  } else context.stdout(table(report))
}

/** The agent that --context or --socket names. */
export function agentOf(context: CliContext, command: Command): Api {
  const { socket, context: name } = command.optsWithGlobals<{ socket: string; context?: string }>()
  return context.api(name === undefined ? socket : contextSocket(context.env, name))
}
