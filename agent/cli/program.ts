import { Command, CommanderError } from 'commander'
import { ConfigError, describeError, hintOf } from '../lib/errors.ts'
import type { Setting } from '../lib/settings.ts'
import { addBpf } from './bpf/bpf.ts'
import { addClusterMesh } from './clustermesh.ts'
import { addConfig } from './config.ts'
import type { CliContext } from './context.ts'
import { DEFAULT_SOCKET } from './context.ts'
import { addAgent } from './agent.ts'
import { addApiserver } from './apiserver.ts'
import { addKvstoremesh } from './kvstoremesh.ts'
import { addEndpoint } from './endpoint.ts'
import { UsageError } from './errors.ts'
import { addExplain } from './explain.ts'
import { addIdentity } from './identity.ts'
import { addMonitor } from './monitor.ts'
import { addNode } from './node.ts'
import { addService } from './service.ts'
import { addSimulate } from './simulate.ts'
import { addStatus } from './status.ts'
import { addTroubleshoot } from './troubleshoot.ts'

/** Settings of the long-running programs; empty where the command line names none of them, to keep other commands fast. */
export interface DaemonSettings {
  readonly agent: readonly Setting[]
  readonly apiserver: readonly Setting[]
  readonly kvstoremesh: readonly Setting[]
}

const USAGE_STATUS = 2

/** They are about this machine, whichever agent answers. */
const HERE_ONLY = ['agent', 'clustermesh-apiserver', 'kvstoremesh', 'bpf', 'simulate', 'troubleshoot']

export function buildProgram(context: CliContext, version: string, settings: DaemonSettings): Command {
  const program = new Command('weft')
  // Before the first subcommand: they inherit these.
  program
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout(text),
      writeErr: (text) => context.stderr(text),
      outputError: (text, write) => write(withHint(text)),
    })
    .configureHelp({ showGlobalOptions: true })
    .description('weft balances the services of a mesh of clusters in the kernel of this node.')
    .version(version, '-V, --version', 'print the version')
    .option(
      '--socket <path>',
      'unix socket of the agent (env WEFT_SOCKET)',
      context.env['WEFT_SOCKET'] || DEFAULT_SOCKET,
    )
    .option('--context <name>', 'an agent elsewhere: NAME.sock in a directory of sockets (env WEFT_CONTEXTS)')
    .hook('preAction', (_, action) => requireHere(action))
    .addHelpText(
      'after',
      `
Examples:
  weft status --verbose
  weft service list --clustermesh-affinity
  weft explain service default/webpod
  weft bpf lb list

Exit status: 0 all is well, 1 something is wrong, 2 the command line or configuration cannot be used.`,
    )
  addAgent(program, context, settings.agent)
  addApiserver(program, context, settings.apiserver)
  addKvstoremesh(program, context, settings.kvstoremesh)
  addStatus(program, context)
  addService(program, context)
  addExplain(program, context)
  addClusterMesh(program, context)
  addTroubleshoot(program, context)
  addNode(program, context)
  addIdentity(program, context)
  addEndpoint(program, context)
  addMonitor(program, context)
  addSimulate(program, context)
  addConfig(program, context)
  addBpf(program, context)
  return program
}

/** Runs one command line (without the program's name) and returns its exit status; errors are printed, not thrown. */
export async function runCli(
  argv: readonly string[],
  context: CliContext,
  version: string,
  settings: DaemonSettings,
): Promise<number> {
  try {
    await buildProgram(context, version, settings).parseAsync([...argv], { from: 'user' })
    return context.exitCode
  } catch (error) {
    // Commander has printed its own message already.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : USAGE_STATUS
    const hint = hintOf(error)
    context.stderr(`error: ${describeError(error)}\n${hint === undefined ? '' : `hint: ${hint}\n`}`)
    return error instanceof UsageError || error instanceof ConfigError ? USAGE_STATUS : 1
  }
}

/** @throws UsageError for a command that no agent elsewhere could answer */
function requireHere(action: Command): void {
  const { context: name } = action.optsWithGlobals<{ context?: string }>()
  const path: string[] = []
  for (let each = action; each.parent !== null; each = each.parent) path.unshift(each.name())
  if (name === undefined || !HERE_ONLY.includes(path[0] ?? '')) return
  throw new UsageError(`weft ${path.join(' ')} is about the machine it runs on, not about a context`, 'run it there')
}

/** Commander's `(Did you mean x?)` and `Allowed choices are …` in the form all our errors have. */
function withHint(text: string): string {
  const suggestion = /^([\s\S]*?)\n\(Did you mean (.*)\?\)\n$/.exec(text)
  if (suggestion !== null) return `${suggestion[1]}\nhint: did you mean ${suggestion[2]}?\n`
  return `${text.trimEnd()}\nhint: add --help to see how the command is used\n`
}
