import type { Cidr } from '../types/address.ts'
import type { RouteEntry } from '../types/datapath.ts'
import type { Node } from '../types/node.ts'
import type { Problem } from '../types/problem.ts'
import type { Snapshot } from './snapshot.ts'
import { formatCidr, maskAddress } from '../types/address.ts'
import { isOwnNode, nodesByPriority } from './nodes.ts'

/** Routes to the pods of every other node, own cluster and mesh, by printed prefix. */
export function desiredRoutes(snap: Snapshot): Map<string, RouteEntry> {
  return planRoutes(snap).routes
}

/**
 * Routes, and what stands in their way. Prefixes that overlap cannot both be routed: the own cluster's comes first (this node's
 * before all), then clusters and nodes by name; the other is left out and reported, so nobody's traffic changes its way.
 */
export function planRoutes(snap: Snapshot): { routes: Map<string, RouteEntry>; problems: readonly Problem[] } {
  const routes = new Map<string, RouteEntry>()
  const problems: Problem[] = []
  const taken = new Prefixes<Node>()
  const nodes = nodesByPriority(snap)
  const own = nodes.find((node) => isOwnNode(snap, node))
  for (const node of own === undefined ? nodes : [own, ...nodes.filter((node) => node !== own)]) {
    for (const prefix of node.podCidrs) {
      const holder = taken.overlapping(prefix)
      if (holder !== undefined) {
        if (holder.value !== node) problems.push(overlap(node, prefix, holder.value, holder.prefix))
        continue
      }
      taken.add(prefix, node)
      if (node !== own) routes.set(formatCidr(prefix), { prefix, via: node.address })
    }
  }
  return { routes, problems }
}

function overlap(refused: Node, prefix: Cidr, kept: Node, held: Cidr): Problem {
  const what = (node: Node, cidr: Cidr): string => `${formatCidr(cidr)} of node ${node.key}`
  return {
    code: 'pod-cidr-overlap',
    message: `pod CIDR ${what(refused, prefix)} overlaps ${what(kept, held)}; it gets no route`,
    hint: 'give every cluster of the mesh, and every node in it, a pod CIDR of its own',
  }
}

interface Held<T> {
  readonly prefix: Cidr
  readonly value: T
}

/** Disjoint prefixes; whether another one would overlap is at most 33 look-ups, however many there are. */
class Prefixes<T> {
  readonly #exact = new Map<number, Held<T>>()
  /** Every shorter prefix around a held one, with one of those it contains. */
  readonly #around = new Map<number, Held<T>>()

  add(prefix: Cidr, value: T): void {
    const held = { prefix, value }
    this.#exact.set(key(prefix, prefix.bits), held)
    for (let bits = 0; bits < prefix.bits; bits++) this.#around.set(key(prefix, bits), held)
  }

  overlapping(prefix: Cidr): Held<T> | undefined {
    for (let bits = 0; bits <= prefix.bits; bits++) {
      const held = this.#exact.get(key(prefix, bits))
      if (held !== undefined) return held
    }
    return this.#around.get(key(prefix, prefix.bits))
  }
}

function key(prefix: Cidr, bits: number): number {
  return maskAddress(prefix.address, bits) * 64 + bits
}
