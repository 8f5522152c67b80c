import { execFileSync } from 'node:child_process'

/** The one backend, reached from everywhere by its own address too. */
export const BACKEND = '10.72.0.5'
export const CLIENT_NETNS = netns('client')
export const BACKEND_NETNS = netns('backend')

/**
 * Equal ways from a client to a backend, each over a node of its own:
 *
 * ```
 *            ┌─ up0 weft  up1 ─┐
 *   client ──┼─ up0 plain up1 ─┼── backend (10.72.0.5)
 *            └─ up0  …    up1 ─┘
 * ```
 *
 * Nodes have two uplinks, so that no bridge between client and backend adds to all sides. The ends of a lane's links at the
 * client and at the backend have its name.
 */
export class Lane {
  readonly name: string
  readonly #n: number

  constructor(name: string, n: number) {
    this.name = name
    this.#n = n
  }

  get netns(): string {
    return netns(this.name)
  }

  /** The client's address on this lane. */
  get client(): string {
    return `10.71.${2 * this.#n + 1}.1`
  }

  /** The node's addresses: towards the client, towards the backend. */
  get front(): string {
    return `10.71.${2 * this.#n + 1}.2`
  }

  get back(): string {
    return `10.71.${2 * this.#n + 2}.2`
  }

  /** The backend's address on this lane's link. */
  get far(): string {
    return `10.71.${2 * this.#n + 2}.1`
  }
}

/** Makes the namespaces and links. What goes to the backend's own address takes the first lane. */
export function wire(names: readonly string[]): Lane[] {
  const lanes = names.map((name, n) => new Lane(name, n))
  for (const host of ['client', 'backend', ...names]) execFileSync('ip', ['netns', 'add', host])
  const links = lanes.flatMap(({ name }) => [
    `link add up0 netns ${name} type veth peer name ${name} netns client`,
    `link add up1 netns ${name} type veth peer name ${name} netns backend`,
  ])
  execFileSync('ip', ['-batch', '-'], { input: `${links.join('\n')}\n` })
  configure('client', [
    ...lanes.flatMap((lane) => up(lane.name, lane.client)),
    `route add ${BACKEND} via ${lanes[0]!.front}`,
  ])
  configure('backend', [
    `addr add ${BACKEND}/32 dev lo`,
    ...lanes.flatMap((lane) => [...up(lane.name, lane.far), `route add ${lane.client} via ${lane.back}`]),
  ])
  for (const lane of lanes) {
    // Without a way to the services' range nothing of it is sent, and netfilter has nothing to translate.
    const routes = [`route add ${BACKEND} via ${lane.far}`, `route add default via ${lane.far}`]
    configure(lane.name, [...up('up0', lane.front), ...up('up1', lane.back), ...routes])
    // Ports for SNAT and ports of the node's own sockets must not meet: equal settings on all nodes.
    const settings = ['net.ipv4.ip_forward=1', 'net.ipv4.ip_local_port_range=10000 29999']
    inNetns(lane.name, 'sysctl', '-qw', ...settings)
    // Without it a veth takes no frames from a driver.
    inNetns(lane.name, 'ethtool', '-K', 'up0', 'gro', 'on')
  }
  return lanes
}

/** Begins a command in a namespace; unlike `ip netns exec`, it leaves /sys as it is. */
export function inNetnsOf(file: string): string[] {
  return ['nsenter', `--net=${file}`]
}

export function inNetns(host: string, ...command: readonly string[]): void {
  execFileSync('ip', ['netns', 'exec', host, ...command])
}

function up(device: string, address: string): string[] {
  return [`addr add ${address}/24 dev ${device}`, `link set dev ${device} up`]
}

export function configure(host: string, lines: readonly string[]): void {
  execFileSync('ip', ['-netns', host, '-batch', '-'], { input: `${['link set lo up', ...lines].join('\n')}\n` })
}

export function netns(host: string): string {
  return `/run/netns/${host}`
}
