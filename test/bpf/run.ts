import { BpfError, type BpfProgram, Errno, TcVerdict, XdpVerdict } from '../../native/index.ts'
import type { BackendSpec, DatapathMaps, DeviceSpec, PrefixSpec, ServiceSpec } from './maps.ts'
import { formatAddress } from '../../agent/types/address.ts'
import { build, describe, destinationAddress, type PacketSpec, sourcePort } from './packet.ts'
import { type Config, type Hook, NODE_MAC, World } from './world.ts'

export type Verdict = 'pass' | 'drop' | 'redirect'

/** One packet: what goes in, and all that must be true afterwards. */
export interface Step {
  readonly send: PacketSpec
  /** tc: the packet stands for segments of this many bytes that the kernel has merged. */
  readonly segment?: number
  readonly hook?: Exclude<Hook, 'xdp'>
  readonly verdict: Verdict
  /** XDP, where it differs. */
  readonly xdpVerdict?: Verdict
  /** What is different in the packet that comes out; absent: nothing. `sport: 'any'`: whatever port was allocated. */
  readonly becomes?: Change
  readonly xdpBecomes?: Change
  /** Counters that go up by one packet, in place of FORWARDED for a changed packet and nothing for an unchanged one. */
  readonly counts?: string | readonly string[]
  /** Before the packet: change what is in the maps. */
  readonly before?: (maps: DatapathMaps) => void
  /** Every flow entry there is afterwards, in the form of flowLines(). */
  readonly flows?: readonly string[]
  /** More about the packet and the maps afterwards. */
  readonly check?: (maps: DatapathMaps, out: Buffer) => void
}

/** `any`: as it came out; what it must be is then up to `check`. */
export type Change = Omit<Partial<PacketSpec>, 'sport'> & { readonly sport?: number | 'any' }

export interface Case {
  readonly description: string
  /** tc only, or XDP only; default both: packets of hook `ingress` then go through either program. */
  readonly only?: 'tc' | 'xdp'
  /** Frames are cut short, and the kernel then forgets a sum over all of them: not run with one. */
  readonly cuts?: boolean
  readonly config?: Config
  readonly services?: readonly ServiceSpec[]
  readonly backends?: readonly BackendSpec[]
  readonly endpoints?: readonly string[]
  readonly devices?: readonly DeviceSpec[]
  /** Addresses of the node itself. */
  readonly ownAddresses?: readonly string[]
  readonly prefixes?: readonly PrefixSpec[]
  readonly steps: readonly Step[]
}

/** How a packet enters: `complete` gives the skb a checksum over everything, which the kernel checks afterwards. */
export type Path = 'tc' | 'tc-complete' | 'xdp'

const TEST_CHECKSUM_COMPLETE = 4
const TC: Readonly<Record<number, Verdict>> = {
  [TcVerdict.OK]: 'pass',
  [TcVerdict.SHOT]: 'drop',
  [TcVerdict.REDIRECT]: 'redirect',
}
const XDP: Readonly<Record<number, Verdict>> = {
  [XdpVerdict.PASS]: 'pass',
  [XdpVerdict.DROP]: 'drop',
  [XdpVerdict.TX]: 'redirect',
  [XdpVerdict.REDIRECT]: 'redirect',
}

export function pathsOf(test: Case): Path[] {
  const paths: Path[] =
    test.only === 'xdp' ? ['xdp'] : test.only === 'tc' ? ['tc', 'tc-complete'] : ['tc', 'tc-complete', 'xdp']
  return test.cuts === true ? paths.filter((path) => path !== 'tc-complete') : paths
}

function skb(ifindex: number, segment: number): Buffer {
  const ctx = Buffer.alloc(192)
  ctx.writeUInt32LE(ifindex, 36)
  ctx.writeUInt32LE(ifindex, 40)
  ctx.writeUInt32LE(segment, 176)
  return ctx
}

function xdpMd(ifindex: number, length: number): Buffer {
  const ctx = Buffer.alloc(24)
  ctx.writeUInt32LE(length, 4)
  ctx.writeUInt32LE(ifindex, 12)
  return ctx
}

interface Outcome {
  readonly verdict: Verdict
  readonly data: Buffer
}

function runTc(program: BpfProgram, frame: Buffer, ifindex: number, complete: boolean, segment = 0): Outcome {
  const input = { data: frame, ctx: skb(ifindex, segment) }
  const result = program.testRun(complete ? { ...input, flags: TEST_CHECKSUM_COMPLETE } : input)
  return { verdict: verdictOf('tc', result.retval), data: result.data }
}

/** What becomes of a frame at a hook, whatever the verdict. */
export function sendFrame(world: World, hook: Hook, frame: Buffer, config: Config): Buffer {
  const run = hook === 'xdp' ? runXdp : (...given: Parameters<typeof runXdp>) => runTc(...given, false)
  return run(world.program(hook, config), frame, world.ifindex(hook)).data
}

function runXdp(program: BpfProgram, frame: Buffer, ifindex: number): Outcome {
  const result = program.testRun({ data: frame, ctx: xdpMd(ifindex, frame.length) })
  // What the program wrote in front of the packet, for the one at tc, comes out as well.
  return { verdict: verdictOf('xdp', result.retval), data: result.data.subarray(result.ctx?.readUInt32LE(0) ?? 0) }
}

export function verdictOf(kind: 'tc' | 'xdp', value: number): Verdict {
  const verdict = (kind === 'tc' ? TC : XDP)[value]
  if (verdict === undefined) throw new Error(`unexpected return value ${value}`)
  return verdict
}

/** Whether this kernel can check CHECKSUM_COMPLETE in a test run (Linux 6.16). */
export function kernelChecksSums(world: World): boolean {
  try {
    runTc(world.program('to-pod', {}), build({ src: '192.0.2.1', dst: '192.0.2.2' }), world.ifindex('to-pod'), true)
    return true
  } catch (error) {
    if (error instanceof BpfError && error.errno === Errno.EINVAL) return false
    throw error
  }
}

/** A packet that is about to be sent. */
export interface Trial {
  readonly program: BpfProgram
  readonly hook: Hook
  readonly frame: Buffer
  readonly ifindex: number
}

/** Called before each packet; what it returns is called with the verdict, and may throw. */
export type OnTrial = (trial: Trial) => (verdict: Verdict) => void

/** Run one case. Throws an Error that shows both packets when something is not as the table says. */
export function runCase(world: World, test: Case, path: Path, onTrial?: OnTrial): void {
  world.maps.clear()
  test.backends?.forEach((backend) => world.maps.addBackend(backend))
  test.services?.forEach((service) => world.maps.addService(service))
  test.devices?.forEach((device) => world.maps.addDevice(device))
  test.endpoints?.forEach((endpoint) => world.maps.addEndpoint(endpoint))
  test.ownAddresses?.forEach((own) => world.maps.addEndpoint(own, true))
  test.prefixes?.forEach((prefix) => world.maps.addPrefix(prefix))
  test.steps.forEach((step, index) => {
    try {
      runStep(world, test, path, step, onTrial)
    } catch (error) {
      throw new Error(`step ${index + 1}: ${error instanceof Error ? error.message : String(error)}`, { cause: error })
    }
  })
}

function runStep(world: World, test: Case, path: Path, step: Step, onTrial?: OnTrial): void {
  const hook: Hook = path === 'xdp' && (step.hook ?? 'ingress') === 'ingress' ? 'xdp' : (step.hook ?? 'ingress')
  const dmac = step.send.dmac ?? NODE_MAC
  const frame = build({ ...step.send, dmac })
  step.before?.(world.maps)
  const countersBefore = world.maps.counters()
  const program = world.program(hook, test.config ?? {})
  const judge = onTrial?.({ program, hook, frame, ifindex: world.ifindex(hook) })
  const outcome =
    hook === 'xdp'
      ? runXdp(program, frame, world.ifindex(hook))
      : runTc(program, frame, world.ifindex(hook), path === 'tc-complete', step.segment)
  judge?.(outcome.verdict)
  const verdict = hook === 'xdp' ? (step.xdpVerdict ?? step.verdict) : step.verdict
  const becomes = hook === 'xdp' && step.xdpVerdict !== undefined ? step.xdpBecomes : step.becomes

  const wanted = expectedFrame(step.send, dmac, becomes, outcome.data)
  if (outcome.verdict !== verdict || !outcome.data.equals(wanted)) {
    throw new Error(
      [
        `verdict ${outcome.verdict}, expected ${verdict}`,
        `  sent      ${describe(frame)}`,
        `  got       ${describe(outcome.data)}`,
        `  expected  ${describe(wanted)}`,
        `  got       ${outcome.data.toString('hex')}`,
        `  expected  ${wanted.toString('hex')}`,
        `  counted   ${[...changed(countersBefore, world.maps.counters())].join(', ')}`,
        ...world.maps.flowLines().map((line) => `  flow      ${line}`),
      ].join('\n'),
    )
  }
  const ours = verdict !== 'pass' || becomes !== undefined
  // What XDP leaves to tc as it came is counted there.
  const left = hook === 'xdp' && step.xdpVerdict === 'pass' && step.xdpBecomes === undefined
  const counts = left ? undefined : (step.counts ?? (ours ? 'REASON_FORWARDED' : undefined))
  expectSame(
    'counters',
    [...changed(countersBefore, world.maps.counters())],
    counts === undefined ? [] : [counts].flat(),
  )
  expectSame('misplaced flows', world.maps.misplacedFlows(), [])
  if (step.flows !== undefined) expectFlows(world.maps.flowLines(), [...step.flows].sort())
  step.check?.(world.maps, outcome.data)
}

function expectedFrame(sent: PacketSpec, dmac: string, becomes: Change | undefined, got: Buffer): Buffer {
  if (becomes === undefined) return build({ ...sent, dmac })
  const { sport, dst, ...rest } = becomes
  const port = sport === 'any' ? sourcePort(got) : (sport ?? sent.sport)
  const { geneve } = becomes
  // The source port of the encapsulation is a hash: any of its range will do.
  const outer = geneve !== undefined && got.length > 36 && got.readUInt16BE(34) >= 0xc000 ? got.readUInt16BE(34) : 0
  if (geneve !== undefined && geneve.sport === undefined) {
    return expectedFrame(sent, dmac, { ...becomes, geneve: { ...geneve, sport: outer } }, got)
  }
  const to = dst === 'any' ? formatAddress(destinationAddress(got)) : (dst ?? sent.dst)
  return build({ ...sent, dmac, ...rest, dst: to, ...(port === undefined ? {} : { sport: port }) })
}

type Counters = ReadonlyMap<string, { packets: number; bytes: number }>

function changed(before: Counters, after: Counters): Set<string> {
  return new Set(
    [...after].filter(([name, now]) => now.packets !== (before.get(name)?.packets ?? 0)).map(([name]) => name),
  )
}

export function expectSame(what: string, got: readonly string[], wanted: readonly string[]): void {
  if (got.length === wanted.length && got.every((line, i) => line === wanted[i])) return
  throw new Error(
    [
      `${what} differ`,
      ...got.map((line) => `  got       ${line}`),
      ...wanted.map((line) => `  expected  ${line}`),
    ].join('\n'),
  )
}

/** The same but for lifetimes: packets of a flow that closes do not extend it, and seconds pass between the steps of a case. */
function expectFlows(got: readonly string[], wanted: readonly string[]): void {
  const life = /(\d+)s$/
  const settled = got.map((line, i) => {
    const [seen, hoped] = [line, wanted[i] ?? ''].map((text) => Number(life.exec(text)?.[1]))
    const late = hoped! - seen!
    return late > 0 && late <= 2 ? line.replace(life, `${hoped}s`) : line
  })
  expectSame('flows', settled, wanted)
}

export function expectThat(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}
