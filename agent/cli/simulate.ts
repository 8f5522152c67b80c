import type { Command } from 'commander'
import { Option } from 'commander'
import { parseAddress } from '../types/address.ts'
import { withPins } from './bpf/pins.ts'
import type { CliContext, Format } from './context.ts'
import { DEFAULT_BPF_ROOT, formatOption, print } from './context.ts'
import { UsageError } from './errors.ts'
import type { Packet } from './simulate/frame.ts'
import { TCP_FLAGS } from './simulate/frame.ts'
import type { HookName } from './simulate/hooks.ts'
import { deviceTowards, findPlace, HOOKS, listLinks } from './simulate/hooks.ts'
import { simulate } from './simulate/simulate.ts'
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
        'Nothing is sent, and no flow, affinity or counter is made. Needs root, and no running agent. ' +
        'Exits with 1 when the packet would be dropped.',
    )
    .argument('<protocol>', 'tcp, udp or icmp (an echo request)')
    .argument('<source>', 'ADDRESS:PORT of the sender')
    .argument('<destination>', 'ADDRESS:PORT it sends to')
    .addOption(new Option('--hook <name>', 'where it comes in').choices(Object.keys(HOOKS)).default('ingress'))
    .option('--interface <device>', "device it comes in by; otherwise the only one with a program, or the pod's")
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
  weft simulate tcp 10.0.0.46:8080 192.0.2.7:40000 --hook pod --tcp-flags SA`,
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
            return simulate(open, { packet, flags, hook: options.hook, place, links, now })
          } finally {
            place.program.close()
          }
        })
        await print(context, options.output, result, renderSimulation)
        if (result.verdict === 'dropped') context.exitCode = 1
      },
    )
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
