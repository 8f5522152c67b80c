/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Never loaded. The compiler describes an enum in BTF only where something has its type: these variables do, so that user
 * space gets the numbers from here and nowhere else.
 */
#include "lib/address_types.h"
#include "lib/affinity_types.h"
#include "lib/device_types.h"
#include "lib/drop.h"
#include "lib/dry_types.h"
#include "lib/endpoint_types.h"
#include "lib/event_types.h"
#include "lib/flow_types.h"
#include "lib/ipcache_types.h"
#include "lib/metrics_types.h"
#include "lib/purge_types.h"
#include "lib/revsk_types.h"
#include "lib/runtime_types.h"
#include "lib/service_types.h"

enum addr_family layout_addr_family;
enum be_flag layout_be_flag;
enum be_state layout_be_state;
enum dev_flag layout_dev_flag;
enum drop_reason layout_drop_reason;
enum dry_magic layout_dry_magic;
enum dry_result layout_dry_result;
enum dry_word layout_dry_word;
enum ep_flag layout_ep_flag;
enum event_type layout_event_type;
enum flow_flag layout_flow_flag;
enum identity layout_identity;
enum ipc_flag layout_ipc_flag;
enum met_dir layout_met_dir;
enum rt_event layout_rt_event;
enum svc_algorithm layout_svc_algorithm;
enum svc_flag layout_svc_flag;
enum svc_forward layout_svc_forward;
enum svc_scope layout_svc_scope;
enum trace_point layout_trace_point;

/* Not the type of a map's key or value. */
struct dry_run layout_dry_run;
struct event layout_event;
struct purge_run layout_purge_run;
