import { expect } from 'vitest'
import type { Case, Expected, Step } from './format.ts'
import type { Place } from './place.ts'
import type { ServiceName } from '../../agent/types/service.ts'
import { explainReport } from '../../agent/api/explain.ts'
import { statusProblems } from '../../agent/api/problems.ts'
import { serviceReports } from '../../agent/api/services.ts'
import { renderBackends, renderFrontends, renderIpcache, renderLb } from '../../agent/cli/bpf/tables.ts'
import { renderServices } from '../../agent/cli/service.ts'
import { LOCAL_SOURCE } from '../../agent/state/sync.ts'
import { formatAddress } from '../../agent/types/address.ts'
import { SteppedClock } from '../stepped-clock.ts'
import { LocalCluster } from './local-cluster.ts'
import { AgentProcess, OWN } from './node.ts'
import { RemoteClusters } from './remote-clusters.ts'
import { normalServices, normalSlots, normalTable } from './text.ts'

/** Runs the steps of a case over a place; fails with the number of the step whose `expect` does not hold. */
export async function runCase(scenario: Case, place: Place): Promise<void> {
  const node = await ScenarioNode.start(scenario, place)
  try {
    for (const [index, step] of scenario.steps.entries()) await node.step(step, `step ${index + 1}`)
  } finally {
    await node.stop()
  }
}

class ScenarioNode {
  readonly #scenario: Case
  readonly #place: Place
  readonly #clock: SteppedClock
  readonly #local = new LocalCluster(OWN.clusterName)
  readonly #remotes = new RemoteClusters()
  #agent: AgentProcess
  #waiting = false
  #writesSeen = 0
  #driftSeen = 0

  private constructor(scenario: Case, place: Place, clock: SteppedClock, agent: AgentProcess) {
    this.#clock = clock
    this.#scenario = scenario
    this.#place = place
    this.#agent = agent
  }

  static async start(scenario: Case, place: Place): Promise<ScenarioNode> {
    const clock = new SteppedClock()
    const node = new ScenarioNode(scenario, place, clock, await AgentProcess.start(place, scenario.config, clock))
    node.#remotes.attach(node.#agent.writer, node.#agent.sync, new Set())
    node.#agent.writer.synced(LOCAL_SOURCE)
    await node.#agent.settle()
    return node
  }

  async stop(): Promise<void> {
    await this.#agent.stop()
  }

  async step(step: Step, where: string): Promise<void> {
    if (step.apply) this.#local.apply(step.apply)
    if (step.patch) for (const [key, patch] of Object.entries(step.patch)) this.#local.patch(key, patch)
    if (step.delete) this.#local.delete(step.delete)
    if (step.remote) for (const [name, spec] of Object.entries(step.remote)) this.#remotes.change(name, spec)
    if (step.restart) await this.#restart(new Set(step.restart === true ? [] : step.restart.waiting))
    if (step.synced) await this.#synced(step.synced)
    if (step.wait) this.#clock.step(milliseconds(step.wait))
    if (step.tamper) {
      for (const [kind, keys] of Object.entries(step.tamper)) this.#place.tamper(kind as 'services', keys ?? [])
    }
    if (!this.#waiting) await this.#local.deliver(this.#agent.writer)
    await this.#agent.settle()
    if (step.expect) this.#compare(step.expect, where)
  }

  async #restart(waiting: ReadonlySet<string>): Promise<void> {
    await this.#agent.stop()
    this.#agent = await AgentProcess.start(this.#place, this.#scenario.config, this.#clock)
    this.#writesSeen = this.#driftSeen = 0
    this.#local.forget()
    // As the agent does: all gates are registered before the first one opens.
    this.#remotes.attach(this.#agent.writer, this.#agent.sync, waiting)
    this.#waiting = waiting.has(LOCAL_SOURCE)
    if (!this.#waiting) await this.#synced([LOCAL_SOURCE])
    this.#remotes.deliverAll()
  }

  async #synced(sources: readonly string[]): Promise<void> {
    for (const source of sources) {
      if (source !== LOCAL_SOURCE) this.#remotes.deliver(source)
      else {
        this.#waiting = false
        await this.#local.deliver(this.#agent.writer)
        this.#agent.writer.synced(LOCAL_SOURCE)
      }
    }
  }

  #compare(expected: Expected, where: string): void {
    const { view, pipelines } = this.#agent
    const place = this.#place
    const check = (what: string, is: unknown, should: unknown): void => expect(is, `${where}: ${what}`).toEqual(should)
    const table = (
      what: string,
      should: string | undefined,
      normal: (text: string) => string,
      is: () => string,
    ): void => {
      if (should !== undefined) check(what, normal(is()), normal(should))
    }
    table('services', expected.services, normalServices, () => renderServices([...serviceReports(view)], true))
    table('maps', expected.maps, normalSlots, () => renderLb(place.services()))
    table('frontends', expected.frontends, normalTable, () => renderFrontends(place.services()))
    table('backends', expected.backends, normalTable, () => renderBackends(place.backends()))
    table('ipcache', expected.ipcache, normalTable, () => renderIpcache(place.ipcache()))
    if (expected.explain) check('explain', this.#explain(Object.keys(expected.explain)), expected.explain)
    if (expected.clients) check('clients', this.#clients(Object.keys(expected.clients)), expected.clients)
    if (expected.states) {
      check(
        'states',
        Object.fromEntries([...view.frontends()].map((f) => [f.frontend.id, f.status.state])),
        expected.states,
      )
    }
    if (expected.routes) {
      const routes = [...place.routes()].map(([prefix, { via }]) => [prefix, formatAddress(via)])
      check('routes', Object.fromEntries(routes), expected.routes)
    }
    this.#compareProblems(expected.problems, where)
    const writes = this.#agent.writes - this.#writesSeen
    if (expected.writes !== undefined) check('writes', writes, expected.writes)
    this.#writesSeen = this.#agent.writes
    const drift = view.targets().reduce((sum, target) => sum + target.drift, 0)
    if (expected.drift !== undefined) check('drift', drift - this.#driftSeen, expected.drift)
    this.#driftSeen = drift
    expect(pipelines.lb.stats().failing, `${where}: every frontend that fails is reported`).toBe(
      [...view.frontends()].filter(({ status }) => status.state === 'error').length,
    )
  }

  #explain(services: readonly string[]): unknown {
    return Object.fromEntries(
      services.map((service) => [
        service,
        Object.fromEntries(
          (explainReport(this.#agent.view, service as ServiceName)?.frontends ?? []).map(({ address, backends }) => [
            address,
            Object.fromEntries(backends.map((backend) => [backend.address, backend.reason])),
          ]),
        ),
      ]),
    )
  }

  /** Of the frontends that do not let everybody in. */
  #clients(services: readonly string[]): unknown {
    return Object.fromEntries(
      services.map((service) => [
        service,
        Object.fromEntries(
          (explainReport(this.#agent.view, service as ServiceName)?.frontends ?? []).flatMap(
            ({ address, sourceRanges: of }) =>
              of === undefined ? [] : [[address, [of.policy, ...of.ranges].join(' ')] as const],
          ),
        ),
      ]),
    )
  }

  /** A code, or a code with a part of the message; all problems that there are, in any order. */
  #compareProblems(expected: Expected['problems'], where: string): void {
    const wanted = expected.map((each) => (typeof each === 'string' ? ([each, ''] as const) : Object.entries(each)[0]!))
    const found = statusProblems(this.#agent.view)
    const told = found.map(({ code, message }) => `${code}: ${message}`).join('\n')
    expect(found.map(({ code }) => code).sort(), `${where}: problems\n${told}`).toEqual(
      wanted.map(([code]) => code).sort(),
    )
    for (const [code, part] of wanted) {
      const hit = found.some((problem) => problem.code === code && problem.message.includes(part))
      expect(hit, `${where}: a problem ${code} that says "${part}", in\n${told}`).toBe(true)
    }
    for (const problem of found) expect(problem.hint, `${where}: what to do about ${problem.code}`).not.toBe('')
  }
}

function milliseconds(text: string): number {
  return text.endsWith('ms') ? Number.parseInt(text, 10) : Number.parseInt(text, 10) * 1000
}
