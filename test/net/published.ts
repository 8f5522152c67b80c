import type { AgentHost } from './agent-process.ts'
import { eventually } from '../eventually.ts'

/** Waits until a frontend `address:port` is there, or no longer. */
export async function published(host: AgentHost, frontend: string, there = true): Promise<void> {
  const [ip, port] = frontend.split(':')
  await eventually(
    async () => {
      const services = await host.api.services()
      const found = services.some(({ spec, status }) => {
        const at = spec['frontend-address']
        return at.ip === ip && String(at.port) === port && status.state === 'done'
      })
      if (found === there) return
      const { problems } = await host.api.status()
      const listed = services.map(({ spec }) => `${spec['frontend-address'].ip}:${spec['frontend-address'].port}`)
      throw new Error(`there are ${listed.join(' ')}; problems: ${JSON.stringify(problems)}`)
    },
    { what: `${frontend} is ${there ? '' : 'not '}published`, timeoutMs: 30_000 },
  )
}
