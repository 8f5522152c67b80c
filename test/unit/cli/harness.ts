import { expect } from 'vitest'
import type { Api } from '../../../agent/api/client.ts'
import { ApiClientError } from '../../../agent/api/errors.ts'
import { explainReport } from '../../../agent/api/explain.ts'
import { endpointReports, identityReports, nodeReports, statusReport } from '../../../agent/api/model.ts'
import { serviceReports } from '../../../agent/api/services.ts'
import type { AgentView } from '../../../agent/api/view.ts'
import type { CliContext, FlagValues } from '../../../agent/cli/context.ts'
import type { DaemonSettings } from '../../../agent/cli/program.ts'
import { runCli } from '../../../agent/cli/program.ts'
import type { Clock } from '../../../agent/lib/clock.ts'
import { serviceName } from '../../../agent/types/service.ts'
import { STARTED } from '../api/fixture.ts'

export interface Outcome {
  readonly code: number
  readonly out: string
  readonly err: string
  /** The socket the agent was asked on. */
  readonly socket: string | undefined
  /** What a daemon was started with. */
  readonly flags: FlagValues | undefined
  /** Which one it was. */
  readonly daemon: string | undefined
}

export interface Setup {
  /** The agent's state; none means that no agent runs. */
  readonly view?: AgentView
  readonly api?: Api
  /** What answers on sockets other than the first: by the end of their path. */
  readonly others?: Readonly<Record<string, Api>>
  readonly env?: Record<string, string>
  readonly settings?: DaemonSettings
  readonly clock?: Clock
  /** What starting a daemon fails with. */
  readonly daemonError?: Error
}

/** Time that passes only as far as somebody waits for it. */
export function impatientClock(): Clock & { waited: number } {
  const clock = {
    waited: 0,
    now: () => clock.waited,
    date: () => new Date(STARTED + 3_723_000 + clock.waited),
    after: (ms: number, fn: () => void) => {
      clock.waited += ms
      queueMicrotask(fn)
      return () => undefined
    },
  }
  return clock
}

/** The whole program in this process, over the read models of `view`. */
export async function weft(line: string, setup: Setup = {}): Promise<Outcome> {
  let out = ''
  let err = ''
  let socket: string | undefined
  let flags: FlagValues | undefined
  let daemon: string | undefined
  const start =
    (name: string) =>
    async (given: FlagValues): Promise<void> => {
      flags = given
      daemon = name
      if (setup.daemonError !== undefined) throw setup.daemonError
    }
  const context: CliContext = {
    stdout: (text) => void (out += text),
    stderr: (text) => void (err += text),
    env: setup.env ?? {},
    api: (path) => {
      const other = Object.entries(setup.others ?? {}).find(([end]) => path.endsWith(end))
      if (other !== undefined) return other[1]
      if (path.endsWith('apiserver.sock')) return missingAgent(path)
      socket = path
      return setup.api ?? (setup.view === undefined ? missingAgent(path) : apiOver(setup.view))
    },
    clock: setup.clock ?? impatientClock(),
    signal: new AbortController().signal,
    exitCode: 0,
    daemons: {
      agent: start('agent'),
      cleanup: start('cleanup'),
      apiserver: start('apiserver'),
      kvstoremesh: start('kvstoremesh'),
    },
  }
  const argv = line.split(' ').filter((word) => word !== '')
  const code = await runCli(argv, context, '0.1.0', setup.settings ?? { agent: [], apiserver: [], kvstoremesh: [] })
  return { code, out, err, socket, flags, daemon }
}

/** Standard output of a command that must succeed without a word on stderr. */
export async function output(line: string, setup: Setup): Promise<string> {
  const { code, out, err } = await weft(line, setup)
  expect({ code, err }).toEqual({ code: 0, err: '' })
  return out
}

/** The same answers as over the socket: through JSON and back. */
export function apiOver(view: AgentView): Api {
  const answer = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T
  return {
    status: async () => answer(statusReport(view)),
    services: async () => answer([...serviceReports(view)]),
    explain: async (namespace, name) => {
      const report = explainReport(view, serviceName(namespace, name))
      if (report === undefined) {
        throw new ApiClientError('no-such-service', `no cluster has a service ${namespace}/${name}`, {
          hint: 'look again',
        })
      }
      return answer(report)
    },
    config: async () => answer(view.config),
    nodes: async () => answer(nodeReports(view)),
    identities: async () => answer(identityReports(view)),
    endpoints: async () => answer(endpointReports(view)),
    monitor: async () => undefined,
  }
}

function missingAgent(socket: string): Api {
  const fail = async (): Promise<never> => {
    throw new ApiClientError('no-agent', `no agent answers on ${socket}`, { hint: 'start one with "weft agent"' })
  }
  return {
    ...{ status: fail, services: fail, explain: fail, config: fail },
    ...{ nodes: fail, identities: fail, endpoints: fail, monitor: fail },
  }
}
