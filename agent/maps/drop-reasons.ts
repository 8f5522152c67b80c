import { DropReason } from './layout.gen.ts'

/** Numbers of the reasons, as in counters and events. */
export const DROP_REASONS = DropReason

function readable(name: string): string {
  return name
    .replace(/^(DROP|REASON)_/, '')
    .toLowerCase()
    .replaceAll('_', '-')
}

/** Reason number → what users see: `no-service`, `nat-no-mapping`; `forwarded` and `event-lost` are no drops. */
export const REASON_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(DropReason).map(([name, number]) => [number, readable(name)]),
)

export function reasonName(reason: number): string {
  return REASON_NAMES.get(reason) ?? `reason-${reason}`
}
