import { execFileSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { Flood } from './lanes-child.ts'
import type { Lane } from './lanes.ts'
import { BpfObject, enterNetns, ifIndex } from '../../native/index.ts'
import { build } from '../bpf/packet.ts'
import { BACKEND_NETNS, CLIENT_NETNS } from './lanes.ts'
import { interleave } from './measure.ts'
import { built, pinned } from './place.ts'

const FIRST_PORT = 33000
const HEAD_BYTES = 48
const PAYLOAD = 18
/** BPF_F_TEST_XDP_LIVE_FRAMES: what the program redirects is sent. */
const LIVE_FRAMES = 1 << 1

interface Target {
  readonly address: string
  readonly port: number
}

export interface FrameLoad {
  readonly rounds: number
  /** Datagrams in each. */
  readonly count: number
  readonly flows: number
  /** Where the backend gets them. */
  readonly to: Target
}

/**
 * Datagrams as a device behind a node's first uplink hands them over: frames in pages, many in one go. No packet of the kernel's
 * is there before the node makes one. All of the way is walked within the call that sends.
 */
export async function frames(load: FrameLoad, ways: readonly (Target & { lane: Lane })[]): Promise<Flood[]> {
  enterNetns(BACKEND_NETNS)
  const sink = createSocket({ type: 'udp4', recvBufferSize: 1 }).bind(load.to.port, load.to.address)
  await once(sink, 'listening')
  const senders = ways.map((way) => new FrameSender(way, load.flows))
  const warm = Math.max(load.flows, 1000)
  const samples = await pinned(async () => {
    for (const sender of senders) sender.send(warm)
    return interleave(load.rounds, Object.fromEntries(senders.map((sender, i) => [i, () => sender.send(load.count)])))
  })
  sink.close()
  return senders.map((sender, i) => ({
    ns: samples[i]!,
    sent: load.rounds * load.count + warm,
    received: sender.close(),
  }))
}

class FrameSender {
  readonly #object: BpfObject
  readonly #packet: Buffer
  readonly #device: string
  readonly #before: number

  constructor({ lane, address, port }: Target & { lane: Lane }, flows: number) {
    const macs = { smac: link(CLIENT_NETNS, lane.name).address, dmac: link(lane.netns, 'up0').address }
    const tuple = { src: lane.client, dst: address, sport: FIRST_PORT, dport: port }
    this.#packet = build({ proto: 'udp', payload: Buffer.alloc(PAYLOAD), ...tuple, ...macs })
    this.#device = lane.name
    enterNetns(CLIENT_NETNS)
    const rodata = {
      bench_ifindex: ifIndex(lane.name),
      bench_flows: flows,
      bench_head: this.#packet.subarray(0, HEAD_BYTES),
    }
    this.#object = BpfObject.open(built('frames.o'), { rodata }).load()
    this.#before = this.#received()
  }

  /** Nanoseconds for each. */
  send(count: number): number {
    enterNetns(CLIENT_NETNS)
    const program = this.#object.program('bench_send')
    return program.testRun({ data: this.#packet, repeat: count, flags: LIVE_FRAMES }).durationNs
  }

  /** How many the backend has got. */
  close(): number {
    this.#object.program('bench_send').close()
    this.#object.close()
    return this.#received() - this.#before
  }

  #received(): number {
    return link(BACKEND_NETNS, this.#device).stats64.rx.packets
  }
}

interface Link {
  readonly address: string
  readonly stats64: { readonly rx: { readonly packets: number } }
}

function link(netns: string, device: string): Link {
  const args = ['-json', '-stats', '-netns', netns.split('/').at(-1)!, 'link', 'show', device]
  const [found] = JSON.parse(execFileSync('ip', args, { encoding: 'utf8' })) as [Link]
  return found
}
