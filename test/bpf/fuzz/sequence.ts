import { DROP_REASONS } from '../../../agent/maps/drop-reasons.ts'
import type { FlowKeyFields } from '../../../agent/maps/flow.ts'
import type { METRIC_DIRECTIONS } from '../../../agent/maps/metrics.ts'
import { address, describe } from '../packet.ts'
import { NODE2_MAC, NODE_MAC, POD, POD_GATEWAY_MAC } from '../world.ts'
import type { Verdict } from '../run.ts'
import { collisions, differences, differing, halves } from './compare.ts'
import { draft, frameOf } from './frames.ts'
import { modelBackend, modelOf, modelService, writeScene } from './model-of.ts'
import type { Hook, Outcome } from './model/outcome.ts'
import { flowName, type State } from './model/state.ts'
import { walk } from './model/walk.ts'
import { mutations } from './mutate.ts'
import type { Node } from './node.ts'
import { Rng } from './rng.ts'
import { newScene, PEERS, type Scene } from './scene.ts'
import { isSound } from './sound.ts'

/** One frame or other event. `without`: which of its mutations are left out. */
export interface Step {
  readonly seed: number
  readonly without: readonly number[]
}

export interface Sequence {
  /** Of the services and backends. */
  readonly seed: number
  readonly steps: readonly Step[]
}

/** What came of one sequence; `late`: a second went by, so that nothing can be said about times. */
export interface Report {
  readonly frames: number
  readonly late: boolean
  readonly problems: readonly string[]
  /** What was done, for people. */
  readonly story: readonly string[]
}

type Direction = keyof typeof METRIC_DIRECTIONS

function counterName(direction: Direction, reason: string): string {
  return `${direction.toLowerCase()} ${reason}`
}

/** The programs' clock may be this late. */
const CLOCK_LATE_NS = 30_000_000n
const NO_BACKEND = 'DROP_NO_SERVICE'
const STATION = { up0: mac(NODE_MAC), up2: mac(NODE2_MAC), pod0: mac(POD_GATEWAY_MAC) }
const DIRECTION = { ingress: 'INGRESS', xdp: 'INGRESS', 'to-pod': 'INGRESS', egress: 'EGRESS', pod: 'EGRESS' } as const

function mac(text: string): Buffer {
  return Buffer.from(text.replaceAll(':', ''), 'hex')
}

function clock(): { earliest: number; latest: number } {
  const now = process.hrtime.bigint()
  return { earliest: Number((now - CLOCK_LATE_NS) / 1_000_000_000n), latest: Number(now / 1_000_000_000n) }
}

/** The kernel makes no packet for tc of a frame that says IP and has not its header (test runs since 6.18). */
function takes(frame: Buffer, hook: Hook): boolean {
  const type = frame.readUInt16BE(12)
  const needs = type === 0x0800 ? 34 : type === 0x86dd ? 54 : 0
  return hook === 'xdp' || frame.length >= needs
}

/** One sequence on a world of its own: programs and model side by side. */
export class Run {
  private readonly scene: Scene
  private readonly state: State
  private readonly problems: string[] = []
  private readonly story: string[] = []
  private readonly wanted = new Map<string, readonly [packets: number, bytes: number]>()
  private readonly before: ReadonlyMap<string, readonly [packets: number, bytes: number]>
  private readonly node: Node
  private readonly aloud: boolean
  private frames = 0
  private evicted = false
  private now = 0

  constructor(node: Node, sequence: Sequence, aloud: boolean) {
    this.node = node
    this.aloud = aloud
    this.scene = newScene(new Rng(sequence.seed))
    this.state = modelOf(this.scene)
    writeScene(this.scene, node.world.maps)
    this.before = node.counters()
  }

  run(steps: readonly Step[]): Report {
    const start = clock().earliest
    this.now = clock().latest
    for (const step of steps) {
      this.step(step)
      if (this.problems.length > 0) break
    }
    if (this.problems.length === 0) this.settle()
    const late = clock().latest !== start
    return { frames: this.frames, late, problems: this.problems, story: this.story }
  }

  private settle(): void {
    this.problems.push(...differences(this.state, this.node), ...this.counterDifferences())
    if (!this.evicted) this.problems.push(...halves(this.state, this.now), ...collisions(this.state, this.now))
  }

  private step(step: Step): void {
    const rng = new Rng(step.seed)
    const kind = rng.below(100)
    if (kind < 3) this.age(rng.pick([1, 2, 9, 10, 11, 30, 59, 60, 61, 7999, 8000, 8001]))
    else if (kind < 5) this.evict(rng)
    else if (kind < 8) this.change(rng)
    else if (kind < 10) this.move(rng)
    else this.frame(rng, step.without)
  }

  private tell(what: () => string): void {
    if (this.aloud) this.story.push(what())
  }

  /** Time goes by, as entries see it. */
  private age(seconds: number): void {
    // No entry is older than the machine.
    const times = [...this.state.flows.values(), ...this.state.affinities.values()].map(({ last }) => last)
    if (Math.min(...times, ...[...this.state.flows.values()].map(({ created }) => created)) < seconds) return
    this.tell(() => `${seconds} s later`)
    const { maps } = this.node.world
    const earlier = (time: number): number => time - seconds
    maps.editFlows((_key, { last, expires, created, ...rest }) => ({
      ...rest,
      last: earlier(last),
      expires: earlier(expires),
      created: earlier(created),
    }))
    maps.editAffinities(earlier)
    for (const flow of this.state.flows.values()) {
      flow.last -= seconds
      flow.expires -= seconds
      flow.created -= seconds
    }
    for (const affinity of this.state.affinities.values()) affinity.last -= seconds
    this.state.clientsHereUntil = Math.max(0, this.state.clientsHereUntil - seconds)
    maps.expectClientsHere(this.state.clientsHereUntil)
  }

  /** A full table throws an entry out. */
  private evict(rng: Rng): void {
    const names = [...this.state.flows.keys()]
    if (names.length === 0) return
    const name = rng.pick(names)
    this.tell(() => `thrown out: ${name}`)
    this.node.world.maps.editFlows((key, value) => (flowName(key) === name ? undefined : value))
    this.state.flows.delete(name)
    this.evicted = true
  }

  /** An address moves to another node, or comes to this one or goes. */
  private move(rng: Rng): void {
    const { maps } = this.node.world
    const at = rng.below(this.state.prefixes.length)
    const [prefix, known] = [this.scene.prefixes[at], this.state.prefixes[at]]
    if (rng.chance(0.6) && prefix?.tunnel !== undefined && known !== undefined) {
      const tunnel = rng.pick(PEERS)
      this.tell(() => `${prefix.prefix} is behind ${tunnel}`)
      maps.addPrefix({ ...prefix, tunnel })
      this.state.prefixes[at] = { ...known, tunnel: address(tunnel) }
    } else if (this.state.endpoints.delete(address(POD))) {
      this.tell(() => `${POD} is not here`)
      maps.removeEndpoint(POD)
    } else {
      this.tell(() => `${POD} is here`)
      maps.addEndpoint(POD)
      this.state.endpoints.set(address(POD), 'pod')
    }
  }

  /** A backend goes, comes back or changes its state; or a service gets others. */
  private change(rng: Rng): void {
    const { maps } = this.node.world
    const backend = rng.pick(this.scene.backends)
    if (rng.chance(0.3)) {
      this.tell(() => `backend ${backend.id} is gone`)
      maps.removeBackend(backend.id)
      this.state.backends.delete(backend.id)
    } else if (rng.chance(0.6)) {
      const state = rng.pick(['ACTIVE', 'TERMINATING'] as const)
      this.tell(() => `backend ${backend.id} is ${state}`)
      maps.addBackend({ ...backend, state })
      modelBackend(this.state, { ...backend, state })
    } else {
      const { maglev: _table, ...service } = rng.pick(this.scene.services)
      const changed = { ...service, backends: [backend.id] }
      this.tell(() => `service ${service.id} has backend ${backend.id}`)
      maps.addService(changed)
      modelService(this.state, changed)
    }
  }

  private frame(rng: Rng, without: readonly number[]): void {
    const made = draft(rng, this.scene, this.state)
    const applied = mutations(rng).filter((_mutation, i) => !without.includes(i))
    const frame = applied.reduce((bytes, mutation) => mutation.apply(bytes), frameOf(made))
    const { device } = made
    const hook = takes(frame, made.hook) || device === 'pod0' ? made.hook : 'xdp'
    if (!takes(frame, hook)) return
    this.frames++
    this.tell(() => {
      const damage = applied.map(({ name }) => name).join(', ')
      return [
        `${hook} ${device}: ${describe(frame)}`,
        ...(damage === '' ? [] : [`  ${damage}`]),
        `  ${frame.toString('hex')}`,
      ].join('\n')
    })
    const got = this.node.send(frame, { hook, device, profile: this.scene.profile })
    const direction = DIRECTION[hook]
    const observed = {
      flow: (key: FlowKeyFields) => this.node.flow(key),
      affinity: (client: number, serviceId: number) => this.node.affinity(client, serviceId),
      refused: () => this.node.packets(direction, NO_BACKEND) > this.counted(direction, NO_BACKEND),
    }
    let wanted: Outcome
    try {
      wanted = walk(this.state, {
        frame,
        hook,
        device,
        station: STATION[device],
        now: this.now,
        observed,
      })
    } catch (error) {
      this.problems.push(`the model stopped: ${String(error)}`)
      return
    }
    this.count(direction, wanted, frame.length)
    this.judge(hook, frame, got, wanted)
    this.checkDrop(direction, got.verdict, wanted)
    if (this.aloud) {
      this.problems.push(...differences(this.state, this.node), ...this.counterDifferences())
    }
  }

  private judge(hook: Hook, frame: Buffer, got: ReturnType<Node['send']>, wanted: Outcome): void {
    // What is dropped is nobody's any more.
    const same = got.verdict === 'drop' || got.frame.equals(wanted.frame)
    if (got.verdict !== wanted.verdict || !same) {
      this.problems.push(
        [
          `${got.verdict}, expected ${wanted.verdict}, ${wanted.counted ?? 'not counted'}`,
          `  sent      ${describe(frame)}`,
          `  got       ${describe(got.frame)}`,
          `  expected  ${describe(wanted.frame)}`,
          `  sent      ${frame.toString('hex')}`,
          `  got       ${got.frame.toString('hex')}`,
          `  expected  ${wanted.frame.toString('hex')}`,
        ].join('\n'),
      )
    }
    const marked = (got.mark & 0xf00) === 0x300
    if (hook !== 'xdp' && marked !== wanted.marked) {
      this.problems.push(`${got.verdict} with mark ${got.mark.toString(16)}: ${describe(frame)}`)
    }
    if (got.verdict !== 'drop' && isSound(frame) === true && isSound(got.frame) === false) {
      this.problems.push(
        `a wrong checksum for a right one\n  sent ${frame.toString('hex')}\n  got  ${got.frame.toString('hex')}`,
      )
    }
  }

  private count(direction: Direction, { counted, bytes, noted }: Outcome, came: number): void {
    for (const [reason, length] of [[counted, bytes] as const, [noted, came] as const]) {
      if (reason === undefined) continue
      const name = counterName(direction, reason)
      const [packets, sum] = this.wanted.get(name) ?? [0, 0]
      this.wanted.set(name, [packets + 1, sum + length])
    }
  }

  /** Packets that were dropped for this reason and are known of. */
  private counted(direction: Direction, reason: string): number {
    const name = counterName(direction, reason)
    return (this.before.get(name)?.[0] ?? 0) + (this.wanted.get(name)?.[0] ?? 0)
  }

  /** No packet is dropped without a name: its reason counts one more, there and then. */
  private checkDrop(direction: Direction, verdict: Verdict, { counted }: Outcome): void {
    const reason = counted !== undefined && counted in DROP_REASONS ? (counted as keyof typeof DROP_REASONS) : undefined
    if (verdict !== 'drop' && (reason === undefined || !reason.startsWith('DROP_'))) return
    if (reason === undefined) {
      this.problems.push('dropped, and not counted')
      return
    }
    const [got, wanted] = [this.node.packets(direction, reason), this.counted(direction, reason)]
    if (got !== wanted) this.problems.push(`${reason}: ${got - wanted + 1} counted for one packet`)
  }

  private counterDifferences(): string[] {
    const got = new Map<string, string>()
    for (const [name, [packets, bytes]] of this.node.counters()) {
      const [oldPackets, oldBytes] = this.before.get(name) ?? [0, 0]
      if (packets !== oldPackets) got.set(name, `${packets - oldPackets} packets, ${bytes - oldBytes} bytes`)
    }
    const wanted = new Map(
      [...this.wanted].map(([name, [packets, bytes]]) => [name, `${packets} packets, ${bytes} bytes`]),
    )
    return differing('counter', got, wanted)
  }
}
