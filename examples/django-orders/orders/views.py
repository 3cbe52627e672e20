"""Orders: one's own for staff, all for those who decide about them."""

from django.db import transaction
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, PermissionDenied
from rest_framework.mixins import CreateModelMixin, ListModelMixin, RetrieveModelMixin
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response

from orders.models import Order
from orders.permissions import IsFinance, IsManager
from orders.serializers import OrderSerializer


class WrongState(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "wrong_state"


class OrderViewSet(CreateModelMixin, ListModelMixin, RetrieveModelMixin, viewsets.GenericViewSet):
    serializer_class = OrderSerializer

    def get_queryset(self):
        orders = Order.objects.select_related("owner", "decided_by")
        if {"manager", "finance"} & set(self.request.user.roles):
            return orders
        return orders.filter(owner=self.request.user)

    def perform_create(self, serializer):
        serializer.save(owner=self.request.user)

    @action(detail=True, methods=["post"], permission_classes=[IsAuthenticated, IsManager])
    def approve(self, request, pk=None):
        return self.decide(Order.Status.APPROVED)

    @action(detail=True, methods=["post"], permission_classes=[IsAuthenticated, IsManager])
    def reject(self, request, pk=None):
        return self.decide(Order.Status.REJECTED)

    @action(detail=True, methods=["post"], permission_classes=[IsAuthenticated, IsFinance])
    def pay(self, request, pk=None):
        with transaction.atomic():
            order = self.locked(Order.Status.APPROVED)
            order.status = Order.Status.PAID
            order.save(update_fields=["status"])
        return Response(self.get_serializer(order).data)

    def decide(self, outcome):
        with transaction.atomic():
            order = self.locked(Order.Status.PENDING)
            if order.owner_id == self.request.user.pk:
                raise PermissionDenied("Nobody decides about an order of their own.")
            order.status = outcome
            order.decided_by = self.request.user
            order.save(update_fields=["status", "decided_by"])
        return Response(self.get_serializer(order).data)

    def locked(self, expected):
        """The order, held until the transaction ends: another replica may be deciding too."""
        pk = self.get_object().pk
        order = Order.objects.select_for_update().get(pk=pk)
        if order.status != expected:
            raise WrongState(f"The order is {order.status}, expected {expected.value}.")
        return order
