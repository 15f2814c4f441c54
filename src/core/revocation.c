/* SPDX-License-Identifier: BSD-3-Clause */
#include "core/revocation.h"

#include <stdio.h>

#include "core/contexts.h"
#include "core/report.h"

/* The context of that name; NULL with the reason in `error`. */
static struct pv_port *
find_context(const struct pv_datapath *datapath, const char *name, char *error, size_t size)
{
	struct pv_port *port = pv_report_find_port(datapath, name, error, size);

	if (port == NULL)
		return NULL;
	if (!pv_is_context(port))
		snprintf(error, size, "port \"%s\" is a wire and no context: expected a port with the role guest",
			 name);
	else if (port->type->set_granted == NULL)
		snprintf(error, size, "port \"%s\" is of type %s, which has no guest to shut out; expected vhost-user",
			 name, port->type->name);
	else
		return port;
	return NULL;
}

static json_t *
answer(const struct pv_port *port, const char *done)
{
	pv_info(port->name, "its context was %s", done);
	return json_pack("{s:s, s:s, s:s}", "context", port->name, "done", done, "state", pv_report_state(port));
}

json_t *
pv_context_revoke(struct pv_datapath *datapath, const char *name, char *error, size_t size)
{
	struct pv_port *port = find_context(datapath, name, error, size);

	if (port == NULL)
		return NULL;
	if (port->revoked) {
		snprintf(error, size, "context \"%s\" is revoked already; context grant lets its guest in", name);
		return NULL;
	}
	port->type->set_granted(port, false);
	return answer(port, "revoked");
}

json_t *
pv_context_grant(struct pv_datapath *datapath, const char *name, char *error, size_t size)
{
	struct pv_port *port = find_context(datapath, name, error, size);

	if (port == NULL)
		return NULL;
	if (!port->revoked) {
		snprintf(error, size, "context \"%s\" is not revoked: its guest is not shut out", name);
		return NULL;
	}
	port->type->set_granted(port, true);
	return answer(port, "granted");
}
