import type { Command } from 'commander'
import { Option } from 'commander'
import type { Api } from '../api/client.ts'
import { delay } from '../lib/clock.ts'
import { formatAddress, parseAddress } from '../types/address.ts'
import type { MonitorEvent, MonitorType } from '../types/monitor.ts'
import { MONITOR_TYPES } from '../types/monitor.ts'
import type { CliContext } from './context.ts'
import { agentOf } from './context.ts'
import { UsageError } from './errors.ts'
import { eventLine } from './monitor-text.ts'

interface MonitorOptions {
  readonly type?: readonly MonitorType[]
  readonly from?: string
  readonly to?: string
  readonly interface?: string
  readonly output: 'text' | 'json'
}

const RETRY_MS = 500

export function addMonitor(program: Command, context: CliContext): void {
  program
    .command('monitor')
    .summary('packets dropped, and packets of services, as they happen')
    .description(
      'Print one line for each packet that is dropped, and for each packet of a service where tracing is on.',
    )
    .addOption(new Option('-t, --type <type...>', 'only these events').choices(MONITOR_TYPES))
    .option('--from <address>', 'only packets with this source, before or after translation')
    .option('--to <address>', 'only packets with this destination, before or after translation')
    .option('--interface <device>', 'only packets seen at this device')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json']).default('text'))
    .addHelpText(
      'after',
      `
Examples:
  weft monitor --type drop
  weft monitor --to 172.18.100.10 -o json
  weft monitor --type trace --interface eth0`,
    )
    .action(async (options: MonitorOptions, command: Command) => {
      checkAddress('--from', options.from)
      checkAddress('--to', options.to)
      await follow(agentOf(context, command), options, context)
    })
}

/** Until the command is ended: an agent that stops comes back, and the events go on. */
async function follow(api: Api, options: MonitorOptions, context: CliContext): Promise<void> {
  const types = options.type ?? MONITOR_TYPES
  let connected = false
  while (!context.signal.aborted) {
    try {
      await api.monitor(types, {
        onStart: (told) => {
          context.stderr(connected ? 'the agent is back\n' : startLine(types, told))
          connected = true
        },
        onEvent: (event) => {
          if (isWanted(event, options))
            context.stdout(options.output === 'json' ? `${JSON.stringify(event)}\n` : eventLine(event))
        },
        signal: context.signal,
      })
      context.stderr('the agent has stopped: waiting for the next one; what happens until then is not told\n')
    } catch (error) {
      if (!connected) throw error
    }
    await delay(context.clock, RETRY_MS, context.signal).catch(() => undefined)
  }
}

function startLine(asked: readonly MonitorType[], told: readonly MonitorType[]): string {
  const missing = asked.filter((type) => !told.includes(type))
  const note = missing.length === 0 ? '' : `; ${missing.join(', ')}: only where the agent has --monitor-trace`
  return `listening: ${told.join(', ')}${note}\n`
}

function isWanted(event: MonitorEvent, { from, to, interface: device }: MonitorOptions): boolean {
  if (event.type === 'lost') return true
  if (device !== undefined && event.interface !== device) return false
  const sources = event.type === 'trace' ? [event.source, event.newSource] : [event.source]
  const destinations = event.type === 'trace' ? [event.destination, event.newDestination] : [event.destination]
  return (from === undefined || sources.some(isAt(from))) && (to === undefined || destinations.some(isAt(to)))
}

/** `10.0.0.1` stands for all its ports. */
function isAt(wanted: string): (endpoint: string) => boolean {
  return (endpoint) => endpoint === wanted || endpoint.startsWith(`${wanted}:`)
}

function checkAddress(option: string, text: string | undefined): void {
  if (text === undefined) return
  const [host, port, ...rest] = text.split(':')
  const address = parseAddress(host ?? '')
  const ok = address !== undefined && formatAddress(address) === host && rest.length === 0
  if (ok && (port === undefined || /^\d{1,5}$/.test(port))) return
  throw new UsageError(`${option} ${text} is not an address`, 'write it as 10.0.0.1 or 10.0.0.1:80')
}
