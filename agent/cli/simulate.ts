import type { Command } from 'commander'
import { Option } from 'commander'
import { formatAddress, parseAddress } from '../types/address.ts'
import type { OpenMap } from './bpf/pins.ts'
import { withPins } from './bpf/pins.ts'
import type { CliContext, Format } from './context.ts'
import { DEFAULT_BPF_ROOT, formatOption, print } from './context.ts'
import { UsageError } from './errors.ts'
import type { Packet } from './simulate/frame.ts'
import { TCP_FLAGS } from './simulate/frame.ts'
import type { HookName } from './simulate/hooks.ts'
import { deviceTowards, findPlace, HOOKS, hasProgram, listLinks } from './simulate/hooks.ts'
import type { Simulation, Trial, Way } from './simulate/simulate.ts'
import { simulate, simulateOn } from './simulate/simulate.ts'
import { renderSimulation } from './simulate/text.ts'

interface SimulateOptions {
  readonly hook: HookName
  readonly interface?: string
  readonly tcpFlags: string
  readonly bpfRoot: string
  readonly output: Format
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, icmp: 1 }

export function addSimulate(program: Command, context: CliContext): void {
  program
    .command('simulate')
    .summary('what would become of a packet, asked of the loaded program')
    .description(
      'Run the loaded program on a packet and tell which frontend, backend and path it would take, and why not, when not. ' +
        'Nothing is sent, and no flow, affinity or counter is made. What a pod sends is followed to the device by which it ' +
        'leaves the node. Needs root, and no running agent. ' +
        'Exits with 1 when the packet would be dropped.',
    )
    .argument('<protocol>', 'tcp, udp or icmp (an echo request)')
    .argument('<source>', 'ADDRESS:PORT of the sender')
    .argument('<destination>', 'ADDRESS:PORT it sends to')
    .addOption(new Option('--hook <name>', 'where it is seen').choices(Object.keys(HOOKS)).default('ingress'))
    .option('--interface <device>', "device it comes by; otherwise the only one with a program, or the pod's")
    .option('--tcp-flags <letters>', 'of F, S, R, P, A, U', 'S')
    .option(
      '--bpf-root <path>',
      'mount point of the bpffs (env WEFT_BPF_ROOT)',
      context.env['WEFT_BPF_ROOT'] || DEFAULT_BPF_ROOT,
    )
    .addOption(formatOption())
    .addHelpText(
      'after',
      `
Examples:
  weft simulate tcp 192.0.2.7:40000 172.18.100.10:80
  weft simulate udp 192.0.2.7:40000 172.18.0.2:30053 -o json
  weft simulate tcp 10.0.0.46:8080 192.0.2.7:40000 --hook pod --tcp-flags SA
  weft simulate tcp 192.0.2.7:40000 172.18.0.2:30080 --tcp-flags A   of a connection that is known`,
    )
    .action(
      async (protocol: string, source: string, destination: string, options: SimulateOptions, command: Command) => {
        const packet = parsePacket(protocol, source, destination)
        const flags = parseFlags(options.tcpFlags)
        const result = await withPins(command, async (open) => {
          const links = listLinks()
          const device =
            options.interface ?? (options.hook === 'pod' ? deviceTowards(source.split(':')[0]!) : undefined)
          const place = await findPlace(options.bpfRoot, options.hook, links, device)
          try {
            const now = Number(process.hrtime.bigint() / 1_000_000_000n)
            const trial: Trial = { packet, flags, hook: options.hook, place, links, now }
            return await follow(open, options.bpfRoot, trial)
          } finally {
            place.program.close()
          }
        })
        await print(context, options.output, result, renderSimulation)
        if (result.verdict === 'dropped') context.exitCode = 1
      },
    )
}

/** What the stack sends on passes another program, at the device by which it leaves. */
async function follow(open: OpenMap, root: string, trial: Trial): Promise<Simulation> {
  const first = simulate(open, trial)
  if (trial.hook !== 'pod' || (first.verdict !== 'to-stack' && first.verdict !== 'not-ours')) return first
  const { source, destination } = first.becomes ?? first
  const after = parsePacket(first.protocol, source, destination)
  const way = await wayOf(root, trial, formatAddress(after.source), formatAddress(after.destination))
  if (way === undefined) return first
  try {
    return simulateOn(open, trial, first, after, way)
  } finally {
    way.egress?.program.close()
  }
}

async function wayOf(root: string, { place, links }: Trial, source: string, address: string): Promise<Way | undefined> {
  const device = deviceTowards(address, { source, device: place.device })
  if (device === undefined || device === 'lo') return undefined
  return hasProgram(root, 'egress', device)
    ? { device, egress: await findPlace(root, 'egress', links, device) }
    : { device }
}

function parsePacket(name: string, source: string, destination: string): Packet {
  const protocol = PROTOCOLS[name.toLowerCase()]
  if (protocol === undefined) throw new UsageError(`${name} is not a protocol this can try`, 'use tcp, udp or icmp')
  const [from, fromPort] = parseEndpoint(source, protocol)
  const [to, toPort] = parseEndpoint(destination, protocol)
  return { protocol, source: from, destination: to, sourcePort: fromPort, destinationPort: toPort }
}

/** ICMP has no ports: the identifier may stand for the source's. */
function parseEndpoint(text: string, protocol: number): [address: Packet['source'], port: number] {
  const [, host, port] = /^([^:]+)(?::(\d{1,5}))?$/.exec(text) ?? []
  const address = parseAddress(host ?? '')
  const number = port === undefined ? (protocol === PROTOCOLS['icmp'] ? 0 : undefined) : Number(port)
  if (address === undefined || number === undefined || number > 65535) {
    throw new UsageError(`${text} is not an address with a port`, 'write it as 192.0.2.7:40000')
  }
  return [address, number]
}

function parseFlags(letters: string): number {
  let flags = 0
  for (const letter of letters.toUpperCase()) {
    const bit = TCP_FLAGS[letter]
    if (bit === undefined) throw new UsageError(`${letter} is not a TCP flag`, 'flags: F, S, R, P, A, U')
    flags |= bit
  }
  return flags
}
