#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { ApiClient } from './api/client.ts'
import type { CliContext, Daemons } from './cli/context.ts'
import type { DaemonSettings } from './cli/program.ts'
import { runCli } from './cli/program.ts'
import { systemClock } from './lib/clock.ts'

/**
 * The `weft` executable. Commands that only ask load neither the configuration schema nor the native library: everything
 * heavy is imported by the command that needs it.
 */
const DAEMONS = ['agent', 'clustermesh-apiserver', 'kvstoremesh']

const daemons: Daemons = {
  async agent(flags, context) {
    stopOnSignals()
    const [{ loadConfig }, { runAgent }] = await Promise.all([import('./config.ts'), import('./run/agent.ts')])
    const { config, values } = loadConfig({ flags, env: context.env })
    await runAgent(config, values, packageVersion(), context.signal)
  },
  async cleanup(flags, context) {
    const [{ loadConfig }, { cleanup }] = await Promise.all([import('./config.ts'), import('./run/cleanup.ts')])
    const { config } = loadConfig({ flags, env: context.env })
    await cleanup(config, (line) => context.stderr(`${line}\n`))
  },
  async apiserver(flags, context) {
    stopOnSignals()
    const [{ loadApiserverConfig }, { runApiserver }] = await Promise.all([
      import('./config/exporters.ts'),
      import('./run/apiserver.ts'),
    ])
    const { config } = loadApiserverConfig({ flags, env: context.env })
    await runApiserver({ ...config, version: packageVersion() }, context.signal)
  },
  async kvstoremesh(flags, context) {
    stopOnSignals()
    const [{ loadKvstoremeshConfig }, { runKvstoremesh }] = await Promise.all([
      import('./config/exporters.ts'),
      import('./run/kvstoremesh.ts'),
    ])
    const { config, values } = loadKvstoremeshConfig({ flags, env: context.env })
    await runKvstoremesh(
      { ...config, silentAfterMs: config.silentAfter, values, version: packageVersion() },
      context.signal,
    )
  },
}

async function daemonSettings(argv: readonly string[]): Promise<DaemonSettings> {
  if (!argv.some((argument) => DAEMONS.includes(argument))) return { agent: [], apiserver: [], kvstoremesh: [] }
  const { AGENT_SETTINGS } = await import('./config.ts')
  const { APISERVER_SETTINGS, KVSTOREMESH_SETTINGS } = await import('./config/exporters.ts')
  return { agent: AGENT_SETTINGS, apiserver: APISERVER_SETTINGS, kvstoremesh: KVSTOREMESH_SETTINGS }
}

/** The manifest lies two folders above in the sources, three in the build: the first one found on the way up counts. */
function packageVersion(): string {
  for (let url = new URL('./package.json', import.meta.url); ; url = new URL('../package.json', url)) {
    try {
      return (JSON.parse(readFileSync(url, 'utf8')) as { version: string }).version
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || url.pathname === '/package.json') throw error
    }
  }
}

const abort = new AbortController()

/** For programs that stop in order. The second signal of a kind ends the process at once, as the first does elsewhere. */
function stopOnSignals(): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => abort.abort(new Error(`stopped by ${signal}`)))
  }
}

const context: CliContext = {
  stdout: (text) => void process.stdout.write(text),
  stderr: (text) => void process.stderr.write(text),
  env: process.env,
  api: (socket) => new ApiClient(socket),
  clock: systemClock,
  signal: abort.signal,
  exitCode: 0,
  daemons,
}

// A reader that has seen enough (`weft service list | head`) is not a failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
})

const argv = process.argv.slice(2)
process.exitCode = await runCli(argv, context, packageVersion(), await daemonSettings(argv))
