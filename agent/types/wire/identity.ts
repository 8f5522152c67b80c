import { compareUtf8, WireError } from './go-json.ts'

export const CLUSTER_LABEL = 'k8s:io.cilium.k8s.policy.cluster'

/** The part of `source:key=value` that labels are ordered by. */
function labelKey(label: string): string {
  const start = label.indexOf(':') + 1
  const end = label.indexOf('=', start)
  return end < 0 ? label.slice(start) : label.slice(start, end)
}

/** In wire order: by key, whatever the source. */
export function sortLabels(labels: Iterable<string>): string[] {
  return [...labels]
    .map((label) => [labelKey(label), label] as const)
    .sort((a, b) => compareUtf8(a[0], b[0]))
    .map(([, label]) => label)
}

/** `source:key=value;` for each label, ordered by key; the trailing `;` is part of the format. */
export function encodeIdentity(labels: Iterable<string>): string {
  return sortLabels(labels)
    .map((label) => `${label};`)
    .join('')
}

/** Throws WireError when there is no label at all. */
export function decodeIdentity(text: string): readonly string[] {
  const labels = text.split(';').filter((label) => label !== '')
  if (labels.length === 0) throw new WireError('has no labels')
  return labels
}
